package images

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"provision.internal/xbps"
)

// Repository is one repository of packages. Open returns a package's file once its
// signature and its hash are found right.
type Repository struct {
	Index *xbps.Index
	Open  func(context.Context, xbps.Package) (*os.File, error)
}

// OpenRepositories opens repositories that are folders, for one architecture.
func OpenRepositories(dirs []string, arch string, keys xbps.Keys) ([]Repository, error) {
	var all []Repository
	for _, dir := range dirs {
		r, err := xbps.OpenRepository(dir, arch, keys)
		if err != nil {
			return nil, err
		}
		all = append(all, Repository{Index: r.Index, Open: func(_ context.Context, p xbps.Package) (*os.File, error) { return r.Open(p) }})
	}
	return all, nil
}

// source is a package with where it is.
type source struct {
	repository Repository
	pkg        xbps.Package
}

// resolve chooses packages with what they depend on.
func (in Inputs) resolve(wanted []string, installed []xbps.Package) ([]source, error) {
	var indexes []*xbps.Index
	for _, r := range in.Repositories {
		indexes = append(indexes, r.Index)
	}
	chosen, err := xbps.Resolve(indexes, wanted, installed)
	if err != nil {
		return nil, err
	}
	var all []source
	for _, c := range chosen {
		all = append(all, source{in.Repositories[c.Repository], c.Package})
	}
	return all, nil
}

// named returns the packages of these names that there are, without what they
// depend on.
func (in Inputs) named(names []string) []source {
	var all []source
	for _, name := range names {
		for _, r := range in.Repositories {
			if p, ok := r.Index.Packages[name]; ok {
				all = append(all, source{r, p})
				break
			}
		}
	}
	return all
}

// identities tell these packages from all others.
func identities(all []source) []string {
	var ids []string
	for _, s := range all {
		ids = append(ids, s.pkg.File(), s.pkg.SHA256)
	}
	return ids
}

// walk verifies the package and calls f for each file.
func (s source) walk(ctx context.Context, f func(xbps.File, io.Reader) error) error {
	file, err := s.repository.Open(ctx, s.pkg)
	if err != nil {
		return err
	}
	defer file.Close()
	a, err := xbps.OpenArchive(file)
	if err != nil {
		return fmt.Errorf("%s: %w", s.pkg.File(), err)
	}
	defer a.Close()
	if err := each(ctx, a, f); err != nil {
		return fmt.Errorf("%s: %w", s.pkg.File(), err)
	}
	return nil
}

// packages makes the part with the tools that the ROOTFS does not have:
// "packages", tar entries in zstd without an end. It is empty when there are none. Their INSTALL
// scripts do not run: nothing of the target system can run here, and tools do
// without.
func (s *Store) packages(ctx context.Context, in Inputs, rootfs made) (made, error) {
	if len(in.Packages) == 0 {
		return made{}, nil
	}
	installed, err := s.installed(rootfs)
	if err != nil {
		return made{}, fmt.Errorf("ROOTFS %s: %w", in.Rootfs, err)
	}
	chosen, err := in.resolve(slices.Sorted(slices.Values(in.Packages)), installed) // whatever the order, the same image
	if err != nil {
		return made{}, fmt.Errorf("tools for the installer: %w", err)
	}
	if len(chosen) == 0 {
		return made{}, nil
	}
	return s.remember(func() (made, error) { return s.unite(ctx, chosen) }, append([]string{"packages"}, identities(chosen)...)...)
}

// installed is what the ROOTFS has; nothing when it has no database of it.
func (s *Store) installed(rootfs made) ([]xbps.Package, error) {
	b, ok := rootfs.Blobs["database"]
	if !ok {
		return nil, nil
	}
	f, err := s.File(b.SHA256)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return xbps.ReadInstalled(f)
}

// unite writes the files of packages one after the other. No two of them may
// have the same file.
func (s *Store) unite(ctx context.Context, chosen []source) (made, error) {
	out, err := s.newFrames()
	if err != nil {
		return made{}, err
	}
	defer out.blob.Abort()
	from := map[string]string{}
	for _, c := range chosen {
		err := c.walk(ctx, func(e xbps.File, r io.Reader) error {
			if isJunk(e.Path) {
				return nil
			}
			if other, ok := from[e.Path]; ok && !e.Mode.IsDir() {
				return fmt.Errorf("is in %s too", other)
			}
			from[e.Path] = c.pkg.Pkgver
			return out.add(e, r)
		})
		if err != nil {
			return made{}, err
		}
	}
	blob, err := out.commit(false)
	return made{Blobs: map[string]Blob{"packages": blob}, Memory: out.memory}, err
}

// Fetch opens every package that Assemble would, so that what is remote is in
// the store afterwards.
func (s *Store) Fetch(ctx context.Context, in Inputs) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	wanted, err := s.wanted(ctx, in)
	if err != nil {
		return fmt.Errorf("packages of the installer for %s: %w", in.Arch, err)
	}
	for _, w := range wanted {
		f, err := w.repository.Open(ctx, w.pkg)
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

func (s *Store) wanted(ctx context.Context, in Inputs) ([]source, error) {
	parts, err := s.sub(partsDir)
	if err != nil {
		return nil, err
	}
	rootfs, err := parts.rootfs(ctx, in.Rootfs)
	if err != nil {
		return nil, err
	}
	installed, err := parts.installed(rootfs)
	if err != nil {
		return nil, err
	}
	tools, err := in.resolve(slices.Sorted(slices.Values(in.Packages)), installed)
	if err != nil {
		return nil, err
	}
	kernel, err := kernelPackages(in)
	return slices.Concat(kernel, in.named(firmwarePackages), tools), err
}
