package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"provision.internal/boot"
	"provision.internal/httpboot"
	"provision.internal/images"
	"provision.internal/images/embedded"
	"provision.internal/installer"
	"provision.internal/web"
)

// kits has the installer images assembled in the background, so that DHCP need
// not wait for them.
type kits struct {
	cfg   Config
	store *images.Store
	ca    []byte // PEM: the only authority that the agent trusts
	log   *slog.Logger
	since time.Time // of the start
	// packages opens the mirror's repositories; nil where images.repository is a folder.
	packages func(ctx context.Context, arch string) ([]images.Repository, error)
	// wake ends the pause after a failed assembly. Room for one.
	wake chan struct{}

	mu   sync.Mutex
	kits map[string]kit // by the installer's architecture
}

// kit is one installer image, or why there is none.
type kit struct {
	image   *images.Image // nil until it is ready
	carrier *carrier      // what boots in its place, with its userland; nil when it boots itself
	err     error         // of the last attempt
	since   time.Time
}

// again is the pause after a failed assembly: an operator who puts the missing
// file in place need not restart the daemon.
const again = 10 * time.Second

// run assembles until all images are there, and holds them until ctx ends.
func (k *kits) run(ctx context.Context) error {
	told := map[string]string{}
	missing := k.cfg.Images.installers()
	for len(missing) > 0 {
		var failed []string
		for _, arch := range missing {
			held, err := k.attempt(ctx, arch)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				failed = append(failed, arch)
				if told[arch] != err.Error() {
					told[arch] = err.Error()
					k.log.Error("assemble the installer image; will try again", "arch", arch, "err", err)
				}
				continue
			}
			defer held()
		}
		if missing = failed; len(missing) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-time.After(again):
		}
	}
	// Compressing took more memory than all the daemon does from now on.
	debug.FreeOSMemory()
	<-ctx.Done()
	return nil
}

// hurry has what failed tried again now, because what was missing may be there.
// Until that is known, machines wait for it.
func (k *kits) hurry() {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.kits, func(_ string, one kit) bool { return one.err != nil })
	select {
	case k.wake <- struct{}{}:
	default: // it has been woken already
	}
}

// attempt assembles one image and keeps its files from being collected.
func (k *kits) attempt(ctx context.Context, arch string) (release func(), err error) {
	began := time.Now()
	var now kit
	image, err := k.workshop().build(ctx, arch)
	files := []images.Blob{image.Kernel, image.Initrd, image.Userland}
	if err == nil && k.cfg.Images.carried(arch) {
		var c carrier
		c, err = k.carry(ctx)
		now.carrier, files = &c, append(files, c.Kernel, c.Initrd, c.agent)
	}
	if err == nil {
		var held interface{ Close() error }
		if held, err = k.store.Hold(files...); err == nil {
			release = func() { _ = held.Close() } // nothing was written
		}
	}
	now.err, now.since = err, time.Now()
	if err == nil {
		now.image = &image
		k.log.Info("installer image is ready", "arch", arch, "kernel", image.Release, "took", time.Since(began).Round(time.Millisecond))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kits == nil {
		k.kits = map[string]kit{}
	}
	k.kits[arch] = now
	return release, err
}

func (k *kits) workshop() *Workshop {
	return &Workshop{cfg: k.cfg, store: k.store, overlay: k.overlay, agent: embedded.Agent, packages: k.packages, fetcher: k.fetcher()}
}

// fetcher logs each file that is fetched, once.
func (k *kits) fetcher() images.Fetcher {
	last := ""
	return images.Fetcher{
		Progress: func(name string, _, size int64) {
			if name != last {
				last = name
				k.log.Info("fetching", "file", name, "bytes", size)
			}
		},
		Note: func(text string) { k.log.Warn("going on without upstream", "why", text) },
	}
}

// overlay is what makes the image this appliance's own.
func (k *kits) overlay(userland images.Blob) (map[string][]byte, error) {
	return overlay(k.cfg.Server, k.ca, userland)
}

func overlay(server Server, ca []byte, userland images.Blob) (map[string][]byte, error) {
	b, err := json.Marshal(overlayOf(server, userland))
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		strings.TrimPrefix(installer.OverlayFile, "/"): b,
		strings.TrimPrefix(installer.OverlayCA, "/"):   ca,
	}, nil
}

func overlayOf(server Server, userland images.Blob) installer.Overlay {
	base := server.httpURL()
	return installer.Overlay{
		URL: server.httpsURL(), HTTP: base,
		Userland: &installer.Userland{
			URL: boot.ImageURL(base, userland.SHA256, "userland.tar.zst"), SHA256: userland.SHA256, Size: userland.Size,
		},
	}
}

// kit is what the installer boots with on p.
func (k *kits) kit(p boot.Platform) (httpboot.Kit, error) {
	for _, arch := range k.cfg.Images.installers() {
		if base, _, _ := strings.Cut(arch, "-"); base == p.Arch() {
			return k.bootable(arch)
		}
	}
	return httpboot.Kit{}, fmt.Errorf("images.arch is %s: add %s there", strings.Join(k.cfg.Images.Arch, " "), p.Arch())
}

func (k *kits) bootable(arch string) (httpboot.Kit, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one := k.kits[arch]
	switch {
	case one.image != nil && one.carrier != nil:
		return httpboot.Kit{
			Kernel: one.carrier.Kernel.SHA256, Initrd: one.carrier.Initrd.SHA256, Cmdline: k.cfg.Images.Cmdline, Autoinstall: true,
		}, nil
	case one.image != nil:
		return httpboot.Kit{Kernel: one.image.Kernel.SHA256, Initrd: one.image.Initrd.SHA256, Cmdline: k.cfg.Images.Cmdline}, nil
	case one.err != nil:
		// A machine that waited for this might wait for ever.
		return httpboot.Kit{}, one.err
	}
	return httpboot.Kit{}, httpboot.ErrAssembling
}

// list is what `provision images list` shows of the installers.
func (k *kits) list() []web.Image {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []web.Image
	for _, arch := range k.cfg.Images.installers() {
		now, ok := k.kits[arch]
		if !ok {
			now.since = k.since
		}
		if now.image != nil {
			all = append(all, describeImage(*now.image, now.since)...)
			if now.carrier != nil {
				all = append(all, now.carrier.describe(arch, now.since)...)
			}
			continue
		}
		one := web.Image{Name: "installer", Kind: "installer", Arch: arch, State: "assembling", Since: now.since}
		if now.err != nil {
			one.State, one.Error = "failed", now.err.Error()
		}
		all = append(all, one)
	}
	return all
}

// describeImage lists the files of an image.
func describeImage(image images.Image, since time.Time) []web.Image {
	var all []web.Image
	for _, f := range []struct {
		name string
		blob images.Blob
	}{{"kernel", image.Kernel}, {"initrd", image.Initrd}, {"userland", image.Userland}} {
		all = append(all, web.Image{
			Name: f.name, Kind: "installer", Arch: image.Arch, State: "ready", Since: since,
			Hash: f.blob.SHA256, Size: f.blob.Size, Source: "Linux " + image.Release,
		})
	}
	return all
}
