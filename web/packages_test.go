package web_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/web"
)

// shelf is a mirror that holds names.
type shelf struct {
	names    []string
	imported string
	err      error
	short    bool          // an export ends too early
	hold     chan struct{} // a freeze waits for it, or for the end of its context
	ended    chan error    // what a freeze ended with
}

func (p *shelf) Snapshots() (all []web.Snapshot) {
	for _, n := range p.names {
		all = append(all, web.Snapshot{Name: n, Time: time.Unix(1e9, 0).UTC(), Repositories: []string{"current/x86_64-repodata"}})
	}
	return all
}

func (p *shelf) Freeze(ctx context.Context, name string, step func(web.Step)) (web.Snapshot, error) {
	step(web.Step{What: "packages", Of: 2, Size: 10})
	if p.hold != nil {
		select {
		case <-p.hold:
		case <-ctx.Done():
		}
		p.ended <- ctx.Err()
	}
	step(web.Step{What: "x", Done: 2, Of: 2, Bytes: 10, Size: 10})
	return web.Snapshot{Name: name}, p.err
}

func (p *shelf) Complete(ctx context.Context, name string, step func(web.Step)) (web.Snapshot, error) {
	return p.Freeze(ctx, name, step)
}

func (p *shelf) Thaw(name string) error {
	i := slices.Index(p.names, name)
	if i < 0 {
		return &web.Error{Code: web.CodeUnknown, Message: "no such snapshot"}
	}
	p.names = slices.Delete(p.names, i, i+1)
	return nil
}

func (p *shelf) Export(_ context.Context, name string) (web.Export, error) {
	return web.Export{Key: "ed25519:k", KeyMade: true, Packages: 3, Size: int64(len(name)), Write: func(w io.Writer) error {
		if p.short {
			_, err := io.WriteString(w, name[:1])
			return errors.Join(err, errors.New("the disk broke"))
		}
		_, err := io.WriteString(w, name)
		return err
	}}, p.err
}

func (p *shelf) Import(_ context.Context, r io.Reader, key string, trust bool) (web.Imported, error) {
	if !trust && key == "" {
		return web.Imported{}, &web.Error{Code: web.CodeDenied, Message: "say whose it is"}
	}
	b, err := io.ReadAll(r)
	p.imported = string(b)
	return web.Imported{Snapshot: "golden", Key: key, Packages: len(b)}, err
}

func stocked(t *testing.T, p *shelf) appliance {
	t.Helper()
	return start(t, t.TempDir(), func(s *web.Server) { s.Packages = p })
}

func TestSnapshotsOverTheSocket(t *testing.T) {
	shelf := &shelf{names: []string{"new", "old"}}
	c := stocked(t, shelf)

	all, err := c.Snapshots(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "new" || all[0].Repositories[0] != "current/x86_64-repodata" {
		t.Errorf("Snapshots = %+v, %v", all, err)
	}
	var steps []web.Step
	s, err := c.Freeze(t.Context(), "golden", func(s web.Step) { steps = append(steps, s) })
	if err != nil || s.Name != "golden" || len(steps) != 2 || steps[1].Bytes != 10 {
		t.Errorf("Freeze = %+v, %v after %+v", s, err, steps)
	}
	if err := c.Thaw(t.Context(), "old"); err != nil || len(shelf.names) != 1 {
		t.Errorf("Thaw left %q, %v", shelf.names, err)
	}
	var refused *web.Error
	if err := c.Thaw(t.Context(), "old"); !errors.As(err, &refused) || refused.Code != web.CodeUnknown {
		t.Errorf("Thaw of none: %v", err)
	}
	shelf.err = &web.Error{Code: web.CodeState, Message: "upstream is away"}
	if _, err := c.Complete(t.Context(), "golden", func(web.Step) {}); !errors.As(err, &refused) || refused.Code != web.CodeState || err.Error() != "upstream is away" {
		t.Errorf("Complete that fails: %v", err)
	}
	if _, err := c.Export(t.Context(), "golden"); !errors.As(err, &refused) || refused.Code != web.CodeState {
		t.Errorf("Export that fails: %v", err)
	}
}

func TestBundlesOverTheSocket(t *testing.T) {
	shelf := &shelf{}
	c := stocked(t, shelf)
	e, err := c.Export(t.Context(), "golden")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := e.Write(&b); err != nil || b.String() != "golden" || e.Size != 6 || e.Packages != 3 || e.Key != "ed25519:k" || !e.KeyMade {
		t.Errorf("Export = %+v with %q, %v", e, b.String(), err)
	}
	shelf.short = true
	if e, err = c.Export(t.Context(), "golden"); err != nil {
		t.Fatal(err)
	}
	if err := e.Write(io.Discard); err == nil {
		t.Error("half an export was taken for a whole")
	}
	// A bundle is larger than any other request may be.
	file := strings.Repeat("x", 5<<20)
	in, err := c.Import(t.Context(), strings.NewReader(file), "ed25519:k", false)
	if err != nil || in.Packages != len(file) || in.Key != "ed25519:k" || shelf.imported != file {
		t.Errorf("Import = %+v, %v, %d bytes", in, err, len(shelf.imported))
	}
	var refused *web.Error
	if _, err := c.Import(t.Context(), strings.NewReader(file), "", false); !errors.As(err, &refused) || refused.Code != web.CodeDenied {
		t.Errorf("Import of anyone's: %v", err)
	}
}

// Who interrupts a command ends what it asked for.
func TestInterruptedFreezeEnds(t *testing.T) {
	shelf := &shelf{hold: make(chan struct{}), ended: make(chan error, 1)}
	c := stocked(t, shelf)
	ctx, stop := context.WithCancel(t.Context())
	_, err := c.Freeze(ctx, "golden", func(web.Step) { stop() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Freeze: %v", err)
	}
	if err := <-shelf.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the daemon's work ended with %v", err)
	}
}

func TestWithoutAMirror(t *testing.T) {
	c := start(t, t.TempDir(), nil)
	var refused *web.Error
	if _, err := c.Snapshots(t.Context()); !errors.As(err, &refused) || refused.Code != web.CodeState || !strings.Contains(err.Error(), "images.repository is a folder") {
		t.Errorf("Snapshots: %v", err)
	}
}

func TestReinstallFromASnapshot(t *testing.T) {
	a := stocked(t, &shelf{names: []string{"new", "old"}})
	a.seen(t, mac1)
	if _, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac1, Role: "worker"}); err != nil {
		t.Fatal(err)
	}
	a.to(t, mac1, host.Installing, host.Installed)
	_, err := a.Reinstall(t.Context(), "node1", web.Reinstall{Confirm: "node1", Snapshot: "gone"})
	wantCode(t, err, web.CodeUnknown, "gone", "provision images snapshots")
	r, err := a.Reinstall(t.Context(), "node1", web.Reinstall{Confirm: "node1", Snapshot: "old"})
	if err != nil || r.Host.Grant.Snapshot != "old" {
		t.Fatalf("grant %+v, %v; want one for the snapshot", r.Host.Grant, err)
	}
	if r, err = a.Reinstall(t.Context(), "node1", web.Reinstall{Confirm: "node1"}); err != nil || r.Host.Grant.Snapshot != "" {
		t.Errorf("the next grant is %+v, %v; want one for the newest", r.Host.Grant, err)
	}
}
