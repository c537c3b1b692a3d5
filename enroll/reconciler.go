package enroll

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
)

// actor is the reconciler's name in the history of hosts.
const actor = "reconciler"

// Store is what the reconciler needs of the store. Change is one durable
// transaction, Watch is signalled after each commit.
type Store interface {
	Hosts() []host.Host
	Change(mac host.MAC, actor, cause string, f func(*host.Host) error) (host.Host, error)
	Watch() (changed <-chan struct{}, stop func())
	Log(mac host.MAC, lines []string) error
	Record(host.Event) error

	// Standing admissions: see store.
	Admissions() []host.Admission
	Take(id string, mac host.MAC, actor, cause string) (host.Host, error)
	Cancel(id, actor, cause string) (host.Admission, error)
}

// Reconciler moves hosts on. Store, Nomad and Log must be set.
type Reconciler struct {
	Store Store
	Nomad *nomad.Cluster // Run follows it, too: its own Run must not be called elsewhere
	Log   *slog.Logger

	// Order returns how a host is configured: its target, and of the run the commit
	// and the playbooks. Without it, it is one run of the cluster's template.
	Order func(host.Host) (ansible.Target, ansible.Run)
	// OrderChanged returns a channel that is closed when Order may answer otherwise:
	// without it, or when it returns nil, the next tick finds that out.
	OrderChanged func() <-chan struct{}
	// Runner runs the playbooks; one for Nomad alone when nil.
	Runner *ansible.Runner
	// Turn waits until nobody else configures the host of that name, and keeps others
	// from it until done is called. It may be nil.
	Turn func(ctx context.Context, name string) (done func(), err error)

	// Waits returns why there is no cluster yet that a host could join, in words for
	// a person; empty when there is one. Meanwhile it has no deadline, and Booting from
	// then on. It is asked often. It may be nil.
	Waits   func(host.Host) string
	Booting time.Duration
	// WaitsChanged is to Waits what OrderChanged is to Order.
	WaitsChanged func() <-chan struct{}
	// Founded waits until there is a cluster to watch, or ctx ends. It may be nil.
	Founded func(ctx context.Context) error

	// Ports has ports follow their hosts; nil leaves that out, and hosts go on
	// wherever they are.
	Ports Ports
	// Known returns the name that the configuration gives to a machine, empty for
	// none. It may be nil.
	Known func(host.MAC) string
	// Loading reports whether a machine's firmware is in the middle of loading a
	// boot file: a move would cut it off. It may be nil.
	Loading func(host.MAC) bool

	// LostAfter is how long the node of a Ready host may be away before the host is
	// called lost; zero leaves that out.
	LostAfter time.Duration

	// Tick is how long a lost wake-up or a failed attempt costs; 5 s when zero.
	Tick time.Duration
	// Sweep is the time between looks at the ports while nobody is waited for. They
	// find machines that were plugged in elsewhere. 30 s when zero.
	Sweep time.Duration
	// Grace is how long after the start no host fails for its deadline: while
	// the appliance was away, nobody could meet one. A minute when zero.
	Grace time.Duration
	Now   func() time.Time // time.Now when nil
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// signal is the channel of an optional function; nil, which says nothing, without.
func signal(f func() <-chan struct{}) <-chan struct{} {
	if f == nil {
		return nil
	}
	return f()
}

func (r *Reconciler) tick() time.Duration  { return cmp.Or(r.Tick, 5*time.Second) }
func (r *Reconciler) grace() time.Duration { return cmp.Or(r.Grace, time.Minute) }

// Run reconciles until ctx ends, and returns nil then.
func (r *Reconciler) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if r.Founded != nil && r.Founded(ctx) != nil {
			return nil // ctx has ended
		}
		return r.Nomad.Run(ctx)
	})
	var ports *mover // nil without Ports
	if r.Ports != nil {
		ports = newMover(r)
		g.Go(func() error {
			ports.run(ctx)
			return nil
		})
	}
	if r.LostAfter > 0 {
		g.Go(func() error {
			r.watchLost(ctx)
			return nil
		})
	}
	g.Go(func() error {
		r.loop(ctx, ports)
		return nil
	})
	return g.Wait()
}

// Why a host's work ends before its time.
var (
	errLate  = errors.New("the deadline has passed")
	errMoved = errors.New("the host has left the state meanwhile")
)

// round is the work that is under way. Each host has a goroutine of its own, so
// that a slow or failing one holds nobody up; what they ask of the cluster at
// the same time is bounded by nomad.Cluster.
type round struct {
	*Reconciler
	ports   *mover // nil without Ports
	started time.Time
	ended   chan struct{} // signalled when a host's work has ended
	all     sync.WaitGroup

	mu   sync.Mutex
	work map[host.MAC]*work
}

// work is what is done for one host in one state.
type work struct {
	since  time.Time
	cancel context.CancelCauseFunc
}

// The pause after a look at all hosts. It grows with what the look costs, so
// that a store with very many hosts and much traffic leaves the processor to
// others; it stays well below the second in which a host's event is answered.
const (
	shortPause = 20 * time.Millisecond
	longPause  = 500 * time.Millisecond
)

func (r *Reconciler) loop(ctx context.Context, ports *mover) {
	round := &round{
		Reconciler: r, ports: ports, started: r.now(), ended: make(chan struct{}, 1), work: map[host.MAC]*work{},
	}
	defer round.all.Wait()
	changed, stop := r.Store.Watch()
	defer stop()
	tick := time.NewTicker(r.tick())
	defer tick.Stop()
	for {
		began := time.Now()
		round.look(ctx)
		pause := time.NewTimer(min(max(shortPause, 10*time.Since(began)), longPause))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
		select {
		case <-changed:
		case <-round.ended:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look compares every host with what is done for it.
func (r *round) look(ctx context.Context) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.Store.Hosts() {
		late := r.late(h, now)
		switch w := r.work[h.MAC]; {
		case w != nil && !w.since.Equal(h.Since):
			w.cancel(errMoved)
		case w != nil && late:
			w.cancel(errLate)
		case w != nil:
		case late, step(h.State) != nil:
			r.begin(ctx, h, late)
		}
	}
}

// late reports whether h has outstayed its state, or its grant.
func (r *round) late(h host.Host, now time.Time) bool {
	if h.State.Settled() || r.waits(h) != "" || now.Before(r.started.Add(r.grace())) {
		return false
	}
	expired := h.State == host.Admitted && h.Grant != nil && !h.Grant.Open(now)
	return expired || !h.Deadline.IsZero() && !now.Before(h.Deadline)
}

// begin is called with the lock held.
func (r *round) begin(ctx context.Context, h host.Host, late bool) {
	life := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	if late {
		cancel(errLate)
	}
	r.work[h.MAC] = &work{since: h.Since, cancel: cancel}
	r.all.Go(func() {
		r.run(life, ctx, h)
		cancel(nil)
		r.mu.Lock()
		delete(r.work, h.MAC)
		r.mu.Unlock()
		select {
		case r.ended <- struct{}{}:
		default:
		}
	})
}

// run takes h through one state. ctx ends when the host leaves the state or
// outstays it, and with life, when the appliance stops.
func (r *round) run(life, ctx context.Context, h host.Host) {
	for {
		var err error
		if do := step(h.State); do != nil {
			err = do(r.Reconciler, ctx, h)
			if err == nil {
				return
			}
		}
		switch {
		case life.Err() != nil, errors.Is(err, errMoved):
			return
		case errors.Is(err, nomad.ErrJob):
			r.fail(h, err.Error())
			return
		case context.Cause(ctx) == errLate:
			r.fail(h, r.overdue(life, h, err))
			return
		case ctx.Err() != nil:
			return
		}
		r.Log.WarnContext(ctx, "host does not get on, will try again", "host", h.Label(), "mac", h.MAC, "state", h.State, "err", err)
		pause := time.NewTimer(r.tick())
		select {
		case <-pause.C:
		case <-ctx.Done():
			// The next attempt ends at once, and says what it was waiting for.
		}
		pause.Stop()
	}
}
