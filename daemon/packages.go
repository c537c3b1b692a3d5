package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"provision.internal/host"
	"provision.internal/images"
	"provision.internal/store"
	"provision.internal/web"
	"provision.internal/xbps/mirror"
)

// NoUpstream is images.upstream of a site that has only what is imported.
const NoUpstream = "none"

// smallestCache holds what one role needs, and little else.
const smallestCache = 1 << 30

// openMirror opens the mirror of Void's repositories; nil where images.repository
// is a folder.
func openMirror(cfg Config, st *store.Store, log *slog.Logger) (*mirror.Mirror, error) {
	im := cfg.Images
	if im.Repository != "" {
		return nil, nil
	}
	keys, err := im.trusted()
	if err != nil {
		return nil, err
	}
	var upstream *url.URL
	if im.Upstream != NoUpstream {
		if upstream, err = url.Parse(im.Upstream); err != nil {
			return nil, err
		}
	}
	return mirror.Open(mirror.Config{
		Dir: filepath.Join(cfg.Server.State, "packages"), Upstream: upstream, Keys: keys,
		Repositories: cfg.repositories(), Limit: int64(im.Cache.Size), Log: log,
		InUse: func() []string { return snapshotsInUse(st.Hosts()) },
		Notice: func(text string) {
			log.Warn("notice", "text", text)
			if err := st.Record(host.Event{Time: time.Now(), Kind: host.KindNotice, Actor: "packages", Cause: text}); err != nil {
				log.Error("record a notice", "err", err)
			}
		},
	})
}

// repositories are those that the installers and the roles' systems come from.
func (c Config) repositories() []mirror.Repository {
	var all []mirror.Repository
	for _, arch := range c.systems() {
		for _, path := range c.Images.folders(arch) {
			all = append(all, mirror.Repository{Path: path, Arch: arch})
		}
	}
	return all
}

// systems are the architectures of all that is installed or booted, with their C libraries.
func (c Config) systems() []string {
	all := c.Images.installers()
	for _, role := range c.Roles {
		for _, arch := range c.Images.installers() {
			all = append(all, withLibc(arch, role.Libc))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// snapshotsInUse are those that hosts were installed from, or are to be.
func snapshotsInUse(hosts []host.Host) []string {
	var names []string
	for _, h := range hosts {
		if h.State == host.Retired {
			continue
		}
		if h.Snapshot != "" {
			names = append(names, h.Snapshot)
		}
		if h.Grant != nil && h.Grant.Snapshot != "" {
			names = append(names, h.Grant.Snapshot)
		}
	}
	return names
}

// snapshotFor chooses the snapshot that h is installed from: its grant's, else the newest. An
// agent that asks for its plan again gets the same.
func snapshotFor(m *mirror.Mirror, h host.Host) (string, error) {
	name := ""
	switch {
	case h.State == host.Installing && h.Snapshot != "":
		name = h.Snapshot
	case h.Grant != nil:
		name = h.Grant.Snapshot
	}
	if name == "" {
		s, err := m.Newest()
		return s.Name, err
	}
	s, err := m.Named(name)
	return s.Name, err
}

// connect has images made of what the mirror has.
func (k *kits) connect(m *mirror.Mirror) {
	k.packages = func(ctx context.Context, arch string) ([]images.Repository, error) {
		return mirrored(ctx, m, k.cfg.Images.folders(arch), arch)
	}
}

// mirrored opens repositories of the newest snapshot, which is made if there is none.
func mirrored(ctx context.Context, m *mirror.Mirror, folders []string, arch string) ([]images.Repository, error) {
	s, err := m.Newest()
	if err != nil {
		if s, err = m.Snapshot(ctx); err != nil {
			return nil, err
		}
	}
	return frozen(m, s, folders, arch)
}

// frozen opens repositories of the snapshot s.
func frozen(m *mirror.Mirror, s mirror.Snapshot, folders []string, arch string) ([]images.Repository, error) {
	var all []images.Repository
	for _, path := range folders {
		f, err := m.Repository(s, path, arch)
		if err != nil {
			return nil, err
		}
		all = append(all, images.Repository{Index: f.Index, Open: f.Open})
	}
	return all, nil
}

// addMirror tells in the status how the mirror stands.
func addMirror(st *web.Status, m mirror.Status, now time.Time) {
	p := web.Part{Name: "packages", Listen: m.Upstream}
	var notes []string
	switch {
	case m.Upstream == "":
		p.Listen = "no upstream"
	case m.Err != nil:
		notes = append(notes, fmt.Sprintf("does not answer since %s: %v", now.Sub(m.Since).Round(time.Second), m.Err))
	case m.Asked:
		notes = append(notes, "answers")
	}
	notes = append(notes, fmt.Sprintf("%d snapshots", m.Snapshots), fmt.Sprintf("%d of %d MiB", m.Used>>20, m.Limit>>20))
	p.Note = strings.Join(notes, ", ")
	st.Parts = append(st.Parts, p)
	for name, n := range m.Counters {
		st.Counters["packages "+name] = n
	}
}
