package daemon

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"provision.internal/host"
	"provision.internal/images"
	"provision.internal/web"
	"provision.internal/xbps"
	"provision.internal/xbps/bundle"
	"provision.internal/xbps/mirror"
)

// bundles is the mirror as operators see it: snapshots, and what is carried from
// one site to another.
type bundles struct {
	cfg      Config
	mirror   *mirror.Mirror
	hosts    func() []host.Host
	workshop func() *Workshop
	imported func() // is called when a bundle has brought files
}

// Snapshots lists all, the newest first.
func (b *bundles) Snapshots() []web.Snapshot {
	var all []web.Snapshot
	for _, s := range b.mirror.Snapshots() {
		all = append(all, b.describe(s))
	}
	return all
}

func (b *bundles) describe(s mirror.Snapshot) web.Snapshot {
	d := web.Snapshot{
		Name: s.Name, Time: s.Time, Automatic: s.Automatic, Origin: s.Origin,
		Repositories: slices.Sorted(maps.Keys(s.Indexes)),
	}
	for _, h := range b.hosts() {
		if slices.Contains(snapshotsInUse([]host.Host{h}), s.Name) {
			d.Hosts = append(d.Hosts, h.Label())
		}
	}
	return d
}

// Freeze makes a snapshot that is complete. When that fails there is none.
func (b *bundles) Freeze(ctx context.Context, name string, step func(web.Step)) (web.Snapshot, error) {
	s, err := b.mirror.Freeze(ctx, name)
	if err == nil {
		if err = b.complete(ctx, s, step); err != nil {
			err = errors.Join(err, b.mirror.Remove(name))
		}
	}
	return b.describe(s), coded(err)
}

// Complete fetches what the roles and the installers need of the snapshot called name.
func (b *bundles) Complete(ctx context.Context, name string, step func(web.Step)) (web.Snapshot, error) {
	s, err := b.mirror.Named(name)
	if err == nil {
		err = b.complete(ctx, s, step)
	}
	return b.describe(s), coded(err)
}

func (b *bundles) complete(ctx context.Context, s mirror.Snapshot, step func(web.Step)) error {
	step(web.Step{What: "what the installers need"})
	wants, err := b.wants(ctx, s)
	if err != nil {
		return err
	}
	return b.mirror.Complete(ctx, s, wants, func(p mirror.Progress) { step(web.Step(p)) })
}

// Thaw removes a snapshot.
func (b *bundles) Thaw(name string) error { return coded(b.mirror.Remove(name)) }

// wants are the packages of the roles, on every kind of machine that the
// configuration has, and of the installers.
func (b *bundles) wants(ctx context.Context, s mirror.Snapshot) ([]mirror.Want, error) {
	var wants []mirror.Want
	for _, name := range slices.Sorted(maps.Keys(b.cfg.Roles)) {
		role := b.cfg.Roles[name]
		for _, installer := range b.cfg.Images.installers() {
			arch := withLibc(installer, role.Libc)
			machine, _ := strings.CutSuffix(arch, "-musl")
			wants = append(wants, mirror.Want{
				For: "role " + name, Arch: arch, Folders: b.cfg.Images.folders(arch), Packages: role.PackagesOn(machine),
			})
		}
	}
	for _, arch := range b.cfg.Images.installers() {
		want, err := b.installerWants(ctx, s, arch)
		if err != nil {
			return nil, err
		}
		wants = append(wants, want)
	}
	return wants, nil
}

// installerWants are the packages that the installer image for arch is made of: whatever the image store
// opens.
func (b *bundles) installerWants(ctx context.Context, s mirror.Snapshot, arch string) (mirror.Want, error) {
	want := mirror.Want{For: "the installer", Arch: arch, Folders: b.cfg.Images.folders(arch), Alone: true}
	var mu sync.Mutex
	w := b.workshop()
	w.packages = func(_ context.Context, arch string) ([]images.Repository, error) {
		all, err := frozen(b.mirror, s, want.Folders, arch)
		for i, r := range all {
			all[i].Open = func(ctx context.Context, p xbps.Package) (*os.File, error) {
				mu.Lock()
				want.Packages = append(want.Packages, p.Pkgver)
				mu.Unlock()
				return r.Open(ctx, p)
			}
		}
		return all, err
	}
	in, err := w.inputs(ctx, arch)
	if err == nil {
		err = w.store.Fetch(ctx, in)
	}
	if err != nil {
		return want, fmt.Errorf("the installer for %s: %w", arch, err)
	}
	return want, nil
}

// Export signs the snapshot called name, which must be complete, with all that another site needs.
func (b *bundles) Export(ctx context.Context, name string) (web.Export, error) {
	s, err := b.mirror.Named(name)
	if err != nil {
		return web.Export{}, coded(err)
	}
	wants, err := b.wants(ctx, s)
	if err != nil {
		return web.Export{}, err
	}
	extras, err := b.extras(ctx)
	if err != nil {
		return web.Export{}, err
	}
	key, made, err := bundle.LoadKey(filepath.Join(b.cfg.Server.State, "authority", "export.key"))
	if err != nil {
		return web.Export{}, err
	}
	e, err := b.mirror.Export(ctx, s, wants, extras, key, b.cfg.Server.Name)
	if err != nil {
		return web.Export{}, coded(err)
	}
	return web.Export{
		Key: bundle.FormatKey(key.Public().(ed25519.PublicKey)), KeyMade: made,
		Packages: e.Packages, Size: e.Size(), Write: e.Write,
	}, nil
}

// Folders of the appliance's own files in a bundle.
const (
	releaseFiles = "release/" // of Void: the ROOTFS tarballs and the signed list of them
	configFiles  = "config/"  // this site's configuration, for people
)

// extras are the files beside packages that another site needs to make its
// installer image, and this site's configuration.
func (b *bundles) extras(ctx context.Context) (map[string]string, error) {
	files := map[string]string{}
	im, w := b.cfg.Images, b.workshop()
	if im.ROOTFS != "" {
		files[configFiles+path.Base(im.ROOTFS)] = im.ROOTFS
	} else {
		for _, arch := range im.installers() {
			of, err := w.store.ReleaseFiles(im.release(), arch)
			if err != nil {
				return nil, err
			}
			for _, file := range of {
				files[releaseFiles+filepath.Base(file)] = file
			}
		}
	}
	config := []string{b.cfg.File, b.cfg.Nomad.Job, im.Netboot}
	for _, role := range b.cfg.Roles {
		config = append(config, role.Job)
	}
	for _, file := range config {
		if file != "" {
			files[configFiles+filepath.Base(file)] = file
		}
	}
	return files, ctx.Err()
}

// Import takes in a bundle that key, or anyone with trust, has signed.
func (b *bundles) Import(ctx context.Context, r io.Reader, key string, trust bool) (web.Imported, error) {
	var want ed25519.PublicKey
	if key != "" {
		var err error
		if want, err = bundle.ParseKey(key); err != nil {
			return web.Imported{}, fmt.Errorf("%w: %w", web.ErrInvalid, err)
		}
	}
	var files string
	in, err := b.mirror.Import(ctx, r, mirror.Importer{
		Trust: func(by ed25519.PublicKey, made bundle.Manifest) error {
			if want.Equal(by) || want == nil && trust {
				return nil
			}
			text := fmt.Sprintf("the file was signed by the appliance %q with the key %s", made.By, bundle.FormatKey(by))
			if want == nil {
				text += "; when its export printed that key, repeat with --key " + bundle.FormatKey(by)
			} else {
				text += ", which is not the one that --key names; nothing was imported"
			}
			return &web.Error{Code: web.CodeDenied, Message: text}
		},
		Place: func(snapshot string, extras map[string]string) (err error) {
			files, err = b.place(snapshot, extras)
			return err
		},
	})
	if err != nil {
		return web.Imported{}, coded(err)
	}
	b.imported()
	return web.Imported{Snapshot: in.Snapshot.Name, By: in.By, Key: in.Key, Packages: in.Packages, Files: files}, nil
}

// place moves the appliance's own files of a bundle to where they are looked for, and returns the
// folder of those that are for people.
func (b *bundles) place(snapshot string, extras map[string]string) (string, error) {
	release := filepath.Join(b.cfg.Server.State, "images", "release")
	config := filepath.Join(b.cfg.Server.State, "imports", snapshot)
	for _, dir := range []string{release, config} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(extras)) {
		folder, base := path.Split(name)
		dir := map[string]string{releaseFiles: release, configFiles: config}[folder]
		if dir == "" || !fs.ValidPath(base) || strings.HasPrefix(base, ".") {
			return "", fmt.Errorf("%w: %q is nothing that an appliance has", bundle.ErrFormat, name)
		}
		if err := os.Rename(extras[name], filepath.Join(dir, base)); err != nil {
			return "", err
		}
	}
	return config, nil
}

// coded gives errors of the mirror their place among the API's.
func coded(err error) error {
	codes := []struct {
		err  error
		code web.Code
	}{
		{mirror.ErrUnknown, web.CodeUnknown},
		{mirror.ErrExists, web.CodeConflict},
		{mirror.ErrInUse, web.CodeState},
		{mirror.ErrNone, web.CodeState},
		{bundle.ErrFormat, web.CodeInvalid},
		{bundle.ErrSignature, web.CodeDenied},
		{bundle.ErrBroken, web.CodeInvalid},
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return &web.Error{Code: c.code, Message: err.Error()}
		}
	}
	return err
}
