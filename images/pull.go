package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"provision.internal/images/release"
)

// Release says where a release of Void's is and who signed it.
type Release struct {
	Name     string // 20250202
	Key      string // minisign key of the operator's; empty means the pinned one
	Upstream string // root of the mirror, such as https://repo-default.voidlinux.org
}

// Pull brings the ROOTFS tarball for arch into the store and returns its file name. The signed list
// comes first, and nothing that it does not name is fetched. What is there
// already is not fetched again, so that a site without network can go on.
func (s *Store) Pull(ctx context.Context, r Release, arch string, f *Fetcher) (string, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if file, err := s.Pulled(r, arch); err == nil || !errors.Is(err, ErrMissing) {
		return file, err
	}
	file, err := s.pull(ctx, r, arch, f)
	if err != nil {
		return "", fmt.Errorf("release %s: %w", r.Name, err)
	}
	return file, nil
}

func (s *Store) pull(ctx context.Context, r Release, arch string, f *Fetcher) (string, error) {
	name, err := release.Rootfs(r.Name, arch)
	if err != nil {
		return "", err
	}
	files, err := s.sub(releaseDir)
	if err != nil {
		return "", err
	}
	list, signature, sums, err := r.list(ctx, f)
	if err != nil {
		return "", err
	}
	sum, err := sums.File(name)
	if err != nil {
		return "", err
	}
	// The list is kept before the file, so that a broken transfer has what
	// to go on with; each of the two is only ever believed with the other.
	err = errors.Join(writeFile(files.list(r.Name, release.SumsFile), list), writeFile(files.list(r.Name, release.SignatureFile), signature))
	if err != nil {
		return "", err
	}
	if err := files.fetch(ctx, f, r.folder()+name, sum); err != nil {
		return "", err
	}
	return filepath.Join(files.dir, sum), nil
}

func (r Release) folder() string {
	return strings.TrimRight(r.Upstream, "/") + "/" + release.Dir(r.Name) + "/"
}

// list fetches the signed list and its signature, and verifies them.
func (r Release) list(ctx context.Context, f *Fetcher) (list, signature []byte, sums release.Sums, err error) {
	key, err := release.Key(r.Name, r.Key)
	if err == nil {
		list, err = f.small(ctx, r.folder()+release.SumsFile, release.MaxSums)
	}
	if err == nil {
		signature, err = f.small(ctx, r.folder()+release.SignatureFile, release.MaxSums)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if sums, err = release.Verify(list, signature, key); err != nil {
		err = fmt.Errorf("%s: %w", r.folder(), err)
	}
	return list, signature, sums, err
}

// Check reports why the release's tarball for arch could not be pulled: whether
// it can be reached, is signed by the right key and has such a file.
func (r Release) Check(ctx context.Context, arch string, f *Fetcher) error {
	name, err := release.Rootfs(r.Name, arch)
	if err != nil {
		return err
	}
	_, _, sums, err := r.list(ctx, f)
	if err == nil {
		_, err = sums.File(name)
	}
	return err
}

// Pulled returns the file name of the ROOTFS tarball for arch once its list's
// signature, and its content, are found right. ErrMissing or ErrDamaged is wrapped
// when it must be pulled.
func (s *Store) Pulled(r Release, arch string) (string, error) {
	sum, err := s.releaseSum(r, arch)
	if err != nil {
		return "", err
	}
	files, err := s.sub(releaseDir)
	if err != nil {
		return "", err
	}
	f, err := files.File(sum)
	if errors.Is(err, ErrDamaged) {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// ReleaseFiles are the file names of what was pulled for arch: its ROOTFS tarball and the signed
// list that names it. In another store's folder of releases they are as good as pulled there.
func (s *Store) ReleaseFiles(r Release, arch string) ([]string, error) {
	rootfs, err := s.Pulled(r, arch)
	if err != nil {
		return nil, err
	}
	files, err := s.sub(releaseDir)
	if err != nil {
		return nil, err
	}
	return []string{rootfs, files.list(r.Name, release.SumsFile), files.list(r.Name, release.SignatureFile)}, nil
}

// releaseSum is the SHA-256 of the ROOTFS tarball by the list that was pulled.
func (s *Store) releaseSum(r Release, arch string) (string, error) {
	key, err := release.Key(r.Name, r.Key)
	if err != nil {
		return "", err
	}
	name, err := release.Rootfs(r.Name, arch)
	if err != nil {
		return "", err
	}
	files, err := s.sub(releaseDir)
	if err != nil {
		return "", err
	}
	list, err := os.ReadFile(files.list(r.Name, release.SumsFile))
	if err == nil {
		var signature []byte
		if signature, err = os.ReadFile(files.list(r.Name, release.SignatureFile)); err == nil {
			var sums release.Sums
			if sums, err = release.Verify(list, signature, key); err == nil {
				return sums.File(name)
			}
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: %s of release %s; run provision images pull", ErrMissing, name, r.Name)
	case errors.Is(err, release.ErrSignature), errors.Is(err, release.ErrSums):
		// Changed since it was pulled, or pulled with another key.
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return "", err
}

// list is where a file of a release's signed list is kept.
func (s *Store) list(name, file string) string { return filepath.Join(s.dir, name+"-"+file) }

// writeFile writes a file whole or not at all, and only when it changes.
func writeFile(name string, b []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, b) {
		return nil
	}
	if err := os.WriteFile(name+".new", b, 0o644); err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	return os.Rename(name+".new", name)
}
