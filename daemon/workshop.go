package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"provision.internal/httpboot"
	"provision.internal/images"
	"provision.internal/images/embedded"
	"provision.internal/web"
)

// Workshop is what makes installer images in the state folder, whether a daemon
// runs or not. Two of them wait for each other.
type Workshop struct {
	cfg     Config
	store   *images.Store
	overlay func(userland images.Blob) (map[string][]byte, error)
	agent   func(arch string) ([]byte, error)
	fetcher images.Fetcher
	// packages opens the repositories of the running daemon's mirror; nil without
	// one.
	packages func(ctx context.Context, arch string) ([]images.Repository, error)
}

// Progress is told what is going on.
type Progress struct {
	Bytes func(name string, done, size int64) // a file arrives; size is -1 while it is unknown
	Note  func(text string)                   // something else that a person should know
}

// OpenWorkshop opens the image store of cfg. The appliance's authority is made
// if there is none, because it is part of every image.
func OpenWorkshop(cfg Config, p Progress) (*Workshop, error) {
	if err := makeState(cfg.Server.State); err != nil {
		return nil, err
	}
	store, err := images.Open(filepath.Join(cfg.Server.State, "images"))
	if err != nil {
		return nil, err
	}
	authority, err := loadAuthority(cfg.Server)
	if err != nil {
		return nil, err
	}
	return &Workshop{
		cfg: cfg, store: store, agent: embedded.Agent, fetcher: images.Fetcher{Progress: p.Bytes, Note: p.Note},
		overlay: func(userland images.Blob) (map[string][]byte, error) {
			return overlay(cfg.Server, authority.PEM(), userland)
		},
	}, nil
}

func loadAuthority(s Server) (*httpboot.Authority, error) {
	return httpboot.LoadAuthority(filepath.Join(s.State, "authority"), []string{s.Name}, []netip.Addr{s.Address}, time.Now)
}

// Images are the architectures that the configuration wants installers for.
func (w *Workshop) Images() []string { return w.cfg.Images.installers() }

// Pull fetches all that the image for arch is made of, so that Build needs no network. It
// is an error when the configuration names a folder to take everything from.
func (w *Workshop) Pull(ctx context.Context, arch string) error {
	if w.cfg.Images.Repository != "" {
		return fmt.Errorf("images.repository is %s: there is nothing to pull; leave it out to fetch from images.upstream", w.cfg.Images.Repository)
	}
	in, err := w.inputs(ctx, arch)
	if err != nil {
		return err
	}
	return w.store.Fetch(ctx, in)
}

// Build makes the image for arch, or finds it made, and returns its files.
func (w *Workshop) Build(ctx context.Context, arch string) (Built, error) {
	began := time.Now()
	image, err := w.build(ctx, arch)
	if err != nil {
		return Built{}, err
	}
	return Built{Files: describeImage(image, began), Memory: image.Memory, Unpacking: image.Memory + image.Userland.Size, Took: time.Since(began)}, nil
}

// Built is an installer image.
type Built struct {
	Files     []web.Image   `json:"files"`
	Memory    int64         `json:"memory"`    // bytes that it occupies on the machine
	Unpacking int64         `json:"unpacking"` // bytes that it occupies at most, for a moment
	Took      time.Duration `json:"took"`      // nanoseconds
}

func (w *Workshop) build(ctx context.Context, arch string) (images.Image, error) {
	in, err := w.inputs(ctx, arch)
	if err != nil {
		return images.Image{}, err
	}
	return w.store.Assemble(ctx, in)
}

// inputs gathers what the image is made of; the ROOTFS is pulled when it is not
// there.
func (w *Workshop) inputs(ctx context.Context, arch string) (images.Inputs, error) {
	im := w.cfg.Images
	in := images.Inputs{Arch: arch, Rootfs: im.ROOTFS, Kernel: im.Kernel, Packages: w.cfg.tools(), Overlay: w.overlay}
	var err error
	if in.Agent, err = w.agent(arch); err != nil {
		return in, err
	}
	if in.Repositories, err = w.repositories(ctx, arch); err != nil {
		return in, err
	}
	switch {
	case in.Rootfs != "":
	case im.Upstream == NoUpstream:
		if in.Rootfs, err = w.store.Pulled(im.release(), arch); errors.Is(err, images.ErrMissing) {
			err = fmt.Errorf("the ROOTFS of release %s for %s is not here and images.upstream is none: provision images import brings it", im.Release, arch)
		}
	default:
		in.Rootfs, err = w.store.Pull(ctx, im.release(), arch, &w.fetcher)
	}
	return in, err
}

func (w *Workshop) repositories(ctx context.Context, arch string) ([]images.Repository, error) {
	im := w.cfg.Images
	keys, err := im.trusted()
	if err != nil {
		return nil, err
	}
	if im.Repository != "" {
		var dirs []string
		for _, sub := range im.folders(arch) {
			dirs = append(dirs, filepath.Join(im.Repository, sub))
		}
		return images.OpenRepositories(dirs, arch, keys)
	}
	switch {
	case w.packages != nil:
		return w.packages(ctx, arch)
	case im.Upstream == NoUpstream:
		return nil, errors.New("images.upstream is none: start provision serve, which makes the image from what was imported")
	}
	var all []images.Repository
	for _, sub := range im.folders(arch) {
		r, err := w.store.Remote(ctx, &w.fetcher, im.Upstream+"/"+sub, arch, keys)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// List describes the images that are there. It reads none.
func (w *Workshop) List() ([]web.Image, error) {
	assembled, err := w.store.Assembled()
	if err != nil {
		return nil, err
	}
	var all []web.Image
	for _, image := range assembled {
		all = append(all, describeImage(image, time.Time{})...)
	}
	return all, nil
}

// Verify reads every file of the store anew and returns how many there are. What is
// damaged is moved aside and named by the error.
func (w *Workshop) Verify() (int, error) { return w.store.Verify() }

// Collect removes what the configuration does not need. What a running daemon
// serves stays.
func (w *Workshop) Collect(ctx context.Context) (images.Collected, error) {
	return w.store.Collect(ctx, images.Keep{Arches: w.cfg.Images.installers(), Release: w.cfg.Images.release(), Netboot: w.cfg.Images.Netboot})
}
