package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"provision.internal/boot"
	"provision.internal/httpboot"
	"provision.internal/images"
	"provision.internal/images/embedded"
	"provision.internal/installer"
	"provision.internal/web"
	"provision.internal/xbps"
)

// kits has the installer image assembled in the background, so that DHCP need
// not wait for it.
type kits struct {
	cfg   Config
	store *images.Store
	ca    []byte // PEM: the only authority that the agent trusts
	log   *slog.Logger

	mu    sync.Mutex
	image *images.Image // nil until it is ready
	err   error         // of the last attempt
	since time.Time
}

// again is the pause after a failed assembly: an operator who puts the missing
// file in place need not restart the daemon.
const again = 10 * time.Second

// run assembles until it succeeds or ctx ends.
func (k *kits) run(ctx context.Context) error {
	told := ""
	for {
		began := time.Now()
		image, err := k.assemble(ctx)
		if ctx.Err() != nil {
			return nil
		}
		k.mu.Lock()
		k.err, k.since = err, time.Now()
		if err == nil {
			k.image = &image
		}
		k.mu.Unlock()
		if err == nil {
			// Compressing took more memory than all the daemon does from now on.
			debug.FreeOSMemory()
			k.log.Info("installer image is ready", "arch", image.Arch, "kernel", image.Release, "took", time.Since(began).Round(time.Millisecond))
			return nil
		}
		if told != err.Error() {
			told = err.Error()
			k.log.Error("assemble the installer image; will try again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

func (k *kits) assemble(ctx context.Context) (images.Image, error) {
	im := k.cfg.Images
	agent, err := embedded.Agent(im.Arch)
	if err != nil {
		return images.Image{}, err
	}
	keys, err := xbps.LoadKeys(im.Keys)
	if err != nil {
		return images.Image{}, err
	}
	var dirs []string
	for _, sub := range im.subfolders() {
		dirs = append(dirs, filepath.Join(im.Repository, sub))
	}
	repositories, err := images.OpenRepositories(dirs, im.Arch, keys)
	if err != nil {
		return images.Image{}, err
	}
	return k.store.Assemble(ctx, images.Inputs{
		Arch: im.Arch, Rootfs: im.ROOTFS, Repositories: repositories, Kernel: im.Kernel,
		Packages: k.cfg.tools(), Agent: agent, Overlay: k.overlay,
	})
}

// tools are the packages that the roles' layouts need in the installer.
func (c Config) tools() []string {
	var all []string
	for _, role := range c.Roles {
		all = append(all, role.Tools()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// overlay is what makes the image this appliance's own.
func (k *kits) overlay(userland images.Blob) (map[string][]byte, error) {
	base := k.cfg.Server.httpURL()
	b, err := json.Marshal(installer.Overlay{
		URL: k.cfg.Server.httpsURL(), HTTP: base,
		Userland: &installer.Userland{
			URL: boot.ImageURL(base, userland.SHA256, "userland.tar.zst"), SHA256: userland.SHA256, Size: userland.Size,
		},
	})
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		strings.TrimPrefix(installer.OverlayFile, "/"): b,
		strings.TrimPrefix(installer.OverlayCA, "/"):   k.ca,
	}, nil
}

// kit is what the installer boots with on p.
func (k *kits) kit(p boot.Platform) (httpboot.Kit, error) {
	arch, _, _ := strings.Cut(k.cfg.Images.Arch, "-")
	if p.Arch() != arch {
		return httpboot.Kit{}, fmt.Errorf("images.arch is %s", k.cfg.Images.Arch)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.image != nil:
		return httpboot.Kit{Kernel: k.image.Kernel.SHA256, Initrd: k.image.Initrd.SHA256, Cmdline: k.cfg.Images.Cmdline}, nil
	case k.err != nil:
		// A machine that waited for this might wait for ever.
		return httpboot.Kit{}, k.err
	}
	return httpboot.Kit{}, httpboot.ErrAssembling
}

// list is what `provision images list` shows of the installer.
func (k *kits) list() []web.Image {
	k.mu.Lock()
	defer k.mu.Unlock()
	one := web.Image{Name: "installer", Kind: "installer", Arch: k.cfg.Images.Arch, State: "assembling", Since: k.since}
	switch {
	case k.image != nil:
		var all []web.Image
		for _, f := range []struct {
			name string
			blob images.Blob
		}{{"kernel", k.image.Kernel}, {"initrd", k.image.Initrd}, {"userland", k.image.Userland}} {
			im := one
			im.Name, im.Hash, im.Size, im.State = f.name, f.blob.SHA256, f.blob.Size, "ready"
			im.Source = "Linux " + k.image.Release
			all = append(all, im)
		}
		return all
	case k.err != nil:
		one.State, one.Error = "failed", k.err.Error()
	}
	return []web.Image{one}
}
