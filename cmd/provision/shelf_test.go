package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"provision.internal/web"
)

// shelf is a mirror that holds nothing but names. Its bundles are a line of text.
type shelf struct{ all []web.Snapshot }

const shelfKey = "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func (s *shelf) Snapshots() []web.Snapshot { return s.all }

func (s *shelf) add(snap web.Snapshot) web.Snapshot {
	snap.Time = time.Date(2026, 3, 1, 12, len(s.all), 0, 0, time.UTC)
	snap.Repositories = []string{"current/x86_64-repodata"}
	s.all = slices.Insert(s.all, 0, snap)
	return snap
}

func (s *shelf) Freeze(ctx context.Context, name string, step func(web.Step)) (web.Snapshot, error) {
	if name == "missing" {
		return web.Snapshot{}, &web.Error{Code: web.CodeState, Message: "role worker on x86_64: nothing: not found in repository pool"}
	}
	step(web.Step{What: "what the installers need"})
	step(web.Step{What: "packages", Of: 3, Size: 3 << 20})
	step(web.Step{What: "foo", Done: 3, Of: 3, Bytes: 3 << 20, Size: 3 << 20})
	return s.add(web.Snapshot{Name: name}), ctx.Err()
}

func (s *shelf) named(name string) (int, error) {
	i := slices.IndexFunc(s.all, func(snap web.Snapshot) bool { return snap.Name == name })
	if i < 0 {
		return 0, &web.Error{Code: web.CodeUnknown, Message: "no such snapshot: " + name}
	}
	return i, nil
}

func (s *shelf) Complete(_ context.Context, name string, _ func(web.Step)) (web.Snapshot, error) {
	i, err := s.named(name)
	if err != nil {
		return web.Snapshot{}, err
	}
	return s.all[i], nil
}

func (s *shelf) Thaw(name string) error {
	i, err := s.named(name)
	if err == nil {
		s.all = slices.Delete(s.all, i, i+1)
	}
	return err
}

func (s *shelf) Export(_ context.Context, name string) (web.Export, error) {
	text := "bundle of " + name + "\n"
	size := int64(len(text))
	if name == "broken" {
		size++ // the daemon ends before the answer does
	}
	return web.Export{Key: shelfKey, KeyMade: true, Packages: 3, Size: size, Write: func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}}, nil
}

func (s *shelf) Import(_ context.Context, r io.Reader, key string, trust bool) (web.Imported, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return web.Imported{}, err
	}
	if key != shelfKey && !trust {
		return web.Imported{}, &web.Error{Code: web.CodeDenied, Message: "repeat with --key " + shelfKey}
	}
	name, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "bundle of ")
	if !ok {
		return web.Imported{}, fmt.Errorf("%w: no bundle", web.ErrInvalid)
	}
	s.add(web.Snapshot{Name: name, Origin: shelfKey})
	return web.Imported{Snapshot: name, By: "elsewhere", Key: shelfKey, Packages: 3, Files: "/state/imports/" + name}, nil
}
