package upkeep

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
)

// Store is what must not be forgotten; each call is durable when it returns.
type Store interface {
	Upkeep() (host.Upkeep, error)
	Runs() ([]host.Run, error) // oldest first
	Rows(run string) ([]host.Row, error)
	Standings() ([]host.Standing, error)
	KeepUpkeep(host.Upkeep) error
	KeepRun(host.Run) error
	KeepRow(host.Row, *host.Standing) error
	ForgetStanding(name string) error

	Change(mac host.MAC, actor, cause string, f func(*host.Host) error) (host.Host, error)
	Watch() (changed <-chan struct{}, stop func())
}

// Runner runs playbooks on one host; ansible.Runner is one.
type Runner interface {
	Run(context.Context, ansible.Target, ansible.Run) ([]ansible.Outcome, error)
	Stop(ctx context.Context, host string, run ansible.Run) error
}

// Target is a host that may be configured.
type Target struct {
	ansible.Target
	MAC           host.MAC            // zero for the control node itself
	Playbooks     []string            // its own, in order
	Configuration *host.Configuration // its last, of enrolment or ours; nil for none
}

// Parts are what a Manager is made of. Store, Runner, Targets, Target and Log
// must be set.
type Parts struct {
	Store   Store
	Runner  Runner
	Targets func() []Target                       // every host that may be configured now
	Target  func(name string) (_ Target, ok bool) // one of them
	Config  ansible.Config
	Log     *slog.Logger

	// Ready returns when the host's node can take a job, or the reason why not when
	// ctx ends. It may be nil.
	Ready func(ctx context.Context, host string) error

	// Patience is how long a host's node is waited for before the host counts as
	// unreachable; a minute when zero.
	Patience time.Duration
	// Loan is how long a host counts among those that are configured at a time.
	// One that takes longer goes on, and hanging ones hold up nobody for longer than
	// that. 5 minutes when zero.
	Loan time.Duration
	// Tick is how long a failed attempt costs; 5 s when zero.
	Tick time.Duration
	Now  func() time.Time // time.Now when nil
}

// Manager has runs carried out. New makes it; Run must be running for them to get
// on.
type Manager struct {
	Parts
	turns turns
	wake  chan struct{} // something may have to begin

	mu        sync.Mutex
	runs      map[string]*live // that are under way
	waiting   []*live          // of those, which nobody has begun with
	decided   host.Upkeep
	news      chan struct{} // closed when decided changes
	standings map[string]host.Standing
	named     time.Time // in the newest run's ID
}

// New reads the store and makes a manager that goes on where the last one
// ended.
func New(p Parts) (*Manager, error) {
	m := &Manager{
		Parts: p, wake: make(chan struct{}, 1), news: make(chan struct{}),
		runs: map[string]*live{}, standings: map[string]host.Standing{},
	}
	if m.Now == nil {
		m.Now = time.Now
	}
	m.Patience, m.Loan, m.Tick = cmp.Or(m.Patience, time.Minute), cmp.Or(m.Loan, 5*time.Minute), cmp.Or(m.Tick, 5*time.Second)
	var err error
	if m.decided, err = m.Store.Upkeep(); err != nil {
		return nil, err
	}
	standings, err := m.Store.Standings()
	if err != nil {
		return nil, err
	}
	for _, s := range standings {
		m.standings[s.Host] = s
	}
	runs, err := m.Store.Runs()
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		if at := namedAt(r.ID); at.After(m.named) {
			m.named = at
		}
		if r.Cause == host.CauseSchedule {
			// The run may be durable, and the time of the next one not.
			if next := r.Began.Add(m.Config.Schedule.Every); next.After(m.decided.Next) {
				m.decided.Next = next
			}
		}
		if r.Over() {
			continue
		}
		rows, err := m.Store.Rows(r.ID)
		if err != nil {
			return nil, err
		}
		l := newLive(r, rows)
		m.runs[r.ID] = l
		m.waiting = append(m.waiting, l)
	}
	m.queueUp()
	return m, nil
}

// queueUp gives the hosts' turns to what had them before the restart, and then to
// the others in their order.
func (m *Manager) queueUp() {
	for _, l := range m.waiting {
		for _, r := range l.rows {
			if r.Result == host.ResultRunning {
				r.turn = m.turns.join(r.Host, "run "+l.run.ID)
			}
		}
	}
	for _, l := range m.waiting {
		m.queue(l)
	}
}

// queue takes a place for every host of l. Those of the schedule take theirs when
// their time comes.
func (m *Manager) queue(l *live) {
	if l.run.Cause == host.CauseSchedule {
		return
	}
	for _, r := range l.rows {
		if r.turn == nil && !r.Result.Final() {
			r.turn = m.turns.join(r.Host, "run "+l.run.ID)
		}
	}
}

// Run carries runs out until ctx ends, and returns nil then: what is under way
// goes on with the next manager.
func (m *Manager) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	m.forgetStrangers()
	work.Go(func() { m.guard(ctx) })
	for {
		next := m.schedule(ctx)
		m.mu.Lock()
		begun := m.waiting
		m.waiting = nil
		m.mu.Unlock()
		for _, l := range begun {
			m.begin(ctx, &work, l)
		}
		var due <-chan time.Time
		var timer *time.Timer
		if !next.IsZero() {
			timer = time.NewTimer(max(next.Sub(m.Now()), 0))
			due = timer.C
		}
		select {
		case <-m.wake:
		case <-due:
		case <-ctx.Done():
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (m *Manager) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Turn returns when nothing else configures the host, and keeps everything from
// it until done is called: enrolment's own configuration takes it.
func (m *Manager) Turn(ctx context.Context, name string) (done func(), err error) {
	one := m.turns.join(name, "its enrolment")
	if err := m.turns.wait(ctx, one, func(string) {}); err != nil {
		m.turns.leave(one)
		return nil, fmt.Errorf("wait until no run is on %s: %w", name, err)
	}
	return sync.OnceFunc(func() { m.turns.leave(one) }), nil
}

// forgetStrangers forgets where hosts stood that are no more.
func (m *Manager) forgetStrangers() {
	known := map[string]bool{}
	for _, t := range m.Targets() {
		known[t.Host] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.standings {
		if known[name] {
			continue
		}
		if err := m.Store.ForgetStanding(name); err != nil {
			m.Log.Warn("a host that is gone is still remembered", "host", name, "err", err)
			return
		}
		delete(m.standings, name)
	}
}
