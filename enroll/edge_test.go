package enroll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/store"
)

// edge is a router of a few lines: machines are on ports, ports have a stage.
// router/ports is tried on a whole one.
type edge struct {
	mu     sync.Mutex
	places map[host.MAC]host.Place
	stages map[string]host.Stage
	moves  []string // that changed something
	broken error
	looks  int
	wait   map[string]chan struct{} // a move of the port waits for it
	watch  *sync.Cond
}

func newEdge() *edge {
	e := &edge{places: map[host.MAC]host.Place{}, stages: map[string]host.Stage{}, wait: map[string]chan struct{}{}}
	e.watch = sync.NewCond(&e.mu)
	return e
}

func (e *edge) Look(context.Context) (host.Sight, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looks++
	e.watch.Broadcast()
	if e.broken != nil {
		return host.Sight{}, e.broken
	}
	s := host.Sight{Places: maps.Clone(e.places), Ports: map[string]host.PortServes{}}
	for port, stage := range e.stages {
		s.Ports[port] = host.PortServes{VLAN: string(stage) + "0", Stages: []host.Stage{stage}}
	}
	return s, nil
}

func (e *edge) Suspect(context.Context, string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return "winbox:bob", e.broken
}

// shift moves a port by hand.
func (e *edge) shift(port string, stage host.Stage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stages[port] = stage
}

func (e *edge) Move(ctx context.Context, mac host.MAC, port string, stage host.Stage) (host.Moved, error) {
	e.mu.Lock()
	wait := e.wait[port]
	e.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return host.Moved{}, ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken != nil {
		return host.Moved{}, e.broken
	}
	if p, ok := e.places[mac]; ok && (p.Port != port || p.Doubt != "") {
		return host.Moved{}, fmt.Errorf("not alone on port %s", port)
	}
	m := host.Moved{Port: port, VLAN: string(stage) + "0", Was: string(e.stages[port]) + "0", Changed: e.stages[port] != stage}
	if m.Changed {
		e.stages[port] = stage
		e.moves = append(e.moves, fmt.Sprintf("%s %s", port, stage))
		e.watch.Broadcast()
	}
	return m, nil
}

// plug puts a machine on a port, alone.
func (e *edge) plug(mac host.MAC, port string) { e.put(mac, host.Place{Port: port}) }

func (e *edge) put(mac host.MAC, p host.Place) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.places[mac] = p
}

func (e *edge) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken = err
}

func (e *edge) moved() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.moves)
}

// lookTwice returns when two looks have begun since, so that one has ended.
func (e *edge) lookTwice(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for want := e.looks + 2; e.looks < want && t.Context().Err() == nil; {
		e.watch.Wait()
	}
}

// rack is a reconciler on a real store, with an edge.
type rack struct {
	*store.Store
	t    *testing.T
	edge *edge
	dir  string
	stop func()
	more []func(*Reconciler)
}

var (
	strange = host.MAC{0x52, 0x54, 0, 0, 0, 0x99}
	another = host.MAC{0x52, 0x54, 0, 0, 0, 0x98}
)

func newRack(t *testing.T, more ...func(*Reconciler)) *rack {
	r := &rack{t: t, edge: newEdge(), dir: t.TempDir(), more: more}
	r.start()
	t.Cleanup(func() { r.halt() })
	return r
}

// start opens the store and runs a reconciler on it, as a restarted appliance
// does.
func (r *rack) start() {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(r.t.Output(), nil))
	st, err := store.Open(r.dir, map[host.State]time.Duration{host.Admitted: time.Hour, host.Configured: time.Hour})
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := nomad.New(nomad.Config{Address: "http://127.0.0.1:1", Servers: []string{"10.0.0.2:4647"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	r.Store = st
	rec := &Reconciler{Store: st, Nomad: c, Log: log, Ports: r.edge, Tick: 20 * time.Millisecond, Sweep: 20 * time.Millisecond, Grace: time.Nanosecond}
	for _, f := range r.more {
		f(rec)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- rec.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			r.t.Error(err)
		}
	})
}

func (r *rack) halt() { r.stop() }

// admit gives a machine a grant that asks for a port; none is known when port is
// empty.
func (r *rack) admit(mac host.MAC, name, port string) {
	r.t.Helper()
	r.change(mac, func(h *host.Host) (err error) {
		now := time.Now()
		*h, err = h.Advance(host.Admitted, now)
		h.Name, h.Role = name, "worker"
		h.Grant = &host.Grant{ID: name + now.String(), Made: now, Expires: now.Add(time.Hour), Place: true, Port: port}
		return err
	})
}

func (r *rack) change(mac host.MAC, f func(*host.Host) error) {
	r.t.Helper()
	if _, err := r.Change(mac, "test", "", f); err != nil {
		r.t.Fatal(err)
	}
}

// advance takes a machine through states, and takes its grant on the way.
func (r *rack) advance(mac host.MAC, states ...host.State) {
	r.t.Helper()
	for _, s := range states {
		r.change(mac, func(h *host.Host) (err error) {
			if s == host.Installing {
				*h, _, err = h.Burn(host.Claim{Disk: "D", Secret: "s"}, time.Now())
				return err
			}
			*h, err = h.Advance(s, time.Now())
			return err
		})
	}
}

// await returns the host once it is as wanted.
func (r *rack) await(mac host.MAC, what string, want func(host.Host) bool) (h host.Host) {
	r.t.Helper()
	r.until(mac.String()+" is "+what, func() bool {
		var err error
		h, err = r.Host(mac)
		return err == nil && want(h)
	})
	return h
}

// awaitEvent waits for a text in the history.
func (r *rack) awaitEvent(text string) {
	r.t.Helper()
	r.until("the history says "+text, func() bool {
		events, err := r.Events(host.MAC{}, 0, 0)
		if err != nil {
			r.t.Fatal(err)
		}
		return slices.ContainsFunc(events, func(e host.Event) bool { return strings.Contains(e.Cause, text) })
	})
}

func (r *rack) until(what string, is func() bool) {
	r.t.Helper()
	changed, stop := r.Watch()
	defer stop()
	late := time.After(60 * time.Second)
	for !is() {
		select {
		case <-changed:
		case <-late:
			r.t.Fatalf("waited in vain until %s; hosts: %+v", what, r.Hosts())
		}
	}
}

func (r *rack) awaitPlaced(mac host.MAC, port string, stage host.Stage) host.Host {
	r.t.Helper()
	return r.await(mac, "placed", func(h host.Host) bool {
		return h.Placed != nil && h.Placed.Port == port && h.Placed.Stage == stage
	})
}

// causes are the texts of a machine's events of a kind.
func (r *rack) causes(mac host.MAC, kind host.Kind) []string {
	r.t.Helper()
	events, err := r.Events(mac, 0, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []string
	for _, e := range events {
		if e.Kind == kind {
			all = append(all, e.Cause)
		}
	}
	return all
}

// boots lets a machine ask for a boot file.
func (r *rack) boots(mac host.MAC) {
	r.Saw(store.Sighting{MAC: mac, UUID: host.UUID{mac[5]}, Platform: "bios"})
}

func (r *rack) stand(port, name string) host.Admission {
	r.t.Helper()
	now := time.Now()
	a := host.Admission{ID: "a-" + name, Port: port, Name: name, Role: "worker", By: "operator:root", Made: now, Expires: now.Add(time.Hour)}
	if err := r.Stand(a, a.By); err != nil {
		r.t.Fatal(err)
	}
	return a
}
