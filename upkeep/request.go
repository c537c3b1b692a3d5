package upkeep

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
)

// What callers branch on, beside ErrUnknown.
var (
	ErrInvalid = errors.New("invalid run")
	// ErrBusy: the same is under way already, or too much is.
	ErrBusy = errors.New("not begun")
	// ErrOver: the run has ended.
	ErrOver = errors.New("the run is over")
)

// maxOpen is how many runs may be under way. Each is in memory with all its
// hosts.
const maxOpen = 16

// Request asks for a run. One of Hosts, Role and All says on which hosts.
type Request struct {
	Commit    string     `json:"commit,omitempty"`    // the decided one when empty
	Playbooks []string   `json:"playbooks,omitempty"` // each host's own when empty
	Hosts     []string   `json:"hosts,omitempty"`
	Role      string     `json:"role,omitempty"`
	All       bool       `json:"all,omitempty"`
	Check     bool       `json:"check,omitempty"`    // change nothing
	Parallel  int        `json:"parallel,omitempty"` // hosts at a time; the configuration's when zero
	Cause     host.Cause `json:"cause,omitempty"`    // CauseDispatch when empty, or CauseHook
}

// Dispatch begins a run on hosts that are Ready. It is durable when Dispatch
// returns, and goes on whoever looks. A host that another run is on is waited
// for. ErrBusy is wrapped when a run that is under way does just that; the
// message names it.
func (m *Manager) Dispatch(req Request, by string) (host.Run, error) {
	hosts, err := m.chosen(req)
	if err != nil {
		return host.Run{}, err
	}
	run := host.Run{
		By: by, Cause: cmp.Or(req.Cause, host.CauseDispatch), Commit: req.Commit, Playbooks: req.Playbooks, Check: req.Check,
		Parallel: cmp.Or(req.Parallel, m.Config.Schedule.Width()), Hosts: hosts,
	}
	if run.Cause != host.CauseDispatch && run.Cause != host.CauseHook {
		return host.Run{}, fmt.Errorf("%w: its cause is %q: want dispatch or hook", ErrInvalid, run.Cause)
	}
	if req.Parallel < 0 {
		return host.Run{}, fmt.Errorf("%w: %d hosts at a time: want at least 1", ErrInvalid, req.Parallel)
	}
	for _, p := range run.Playbooks {
		if err := ansible.CheckPlaybook(p); err != nil {
			return host.Run{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	run.Commit = cmp.Or(run.Commit, m.commit())
	if err := m.checkCommit(run.Commit); err != nil {
		return host.Run{}, err
	}
	return m.start(run)
}

// checkCommit refuses what no image can be named by.
func (m *Manager) checkCommit(commit string) error {
	if commit == "" && m.Config.DriverName() == ansible.Docker {
		return fmt.Errorf("%w: no commit is known yet: publish one (provision config publish), or name one with --commit", ErrInvalid)
	}
	if commit == "" {
		return nil
	}
	if err := ansible.CheckCommit(commit); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// start makes the run durable and has it begun. It is called with the lock
// held.
func (m *Manager) start(run host.Run) (host.Run, error) {
	for _, l := range m.runs {
		if o := l.snapshot(); sameWork(o, run) {
			return host.Run{}, fmt.Errorf("%w: run %s does just that since %s: provision config follow %s shows it",
				ErrBusy, o.ID, o.Began.Local().Format("15:04:05"), o.ID)
		}
	}
	if len(m.runs) >= maxOpen {
		return host.Run{}, fmt.Errorf("%w: %d runs are under way: wait for one, or take one back with provision config cancel", ErrBusy, len(m.runs))
	}
	now := m.now()
	run.ID, run.Began, run.Of = m.newID(now), now, len(run.Hosts)
	if err := m.Store.KeepRun(run); err != nil {
		return host.Run{}, err
	}
	l := newLive(run, nil)
	m.queue(l)
	m.runs[run.ID] = l
	m.waiting = append(m.waiting, l)
	m.nudge()
	m.Log.Info("run begins", "run", run.ID, "cause", run.Cause, "by", run.By, "commit", run.Commit, "check", run.Check, "hosts", run.Of)
	return l.snapshot(), nil
}

func sameWork(a, b host.Run) bool {
	return !a.Over() && a.Cancelled == "" && (a.Cause == host.CauseSchedule) == (b.Cause == host.CauseSchedule) &&
		a.Commit == b.Commit && a.Check == b.Check && slices.Equal(a.Playbooks, b.Playbooks) && slices.Equal(a.Hosts, b.Hosts)
}

// chosen are the names of the hosts that req means, sorted.
func (m *Manager) chosen(req Request) ([]string, error) {
	ways := 0
	for _, set := range []bool{len(req.Hosts) > 0, req.Role != "", req.All} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		return nil, fmt.Errorf("%w: say on which hosts: one of --host, --role and --all", ErrInvalid)
	}
	known := map[string]bool{}
	var names []string
	for _, t := range m.Targets() {
		known[t.Host] = true
		if req.All || req.Role != "" && t.Role == req.Role {
			names = append(names, t.Host)
		}
	}
	var strange []string
	for _, name := range req.Hosts {
		if !known[name] {
			strange = append(strange, name)
		}
		names = append(names, name)
	}
	switch {
	case len(strange) > 0:
		return nil, fmt.Errorf("%w: not Ready, or not known: %s; provision hosts tells how hosts stand", ErrInvalid, strings.Join(strange, ", "))
	case len(names) == 0 && req.Role != "":
		return nil, fmt.Errorf("%w: no host with role %q is Ready; provision hosts lists them", ErrInvalid, req.Role)
	case len(names) == 0:
		return nil, fmt.Errorf("%w: no host is Ready yet; provision hosts lists them", ErrInvalid)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Cancel takes a run back: hosts that wait are left alone, and what runs is
// stopped where it is.
func (m *Manager) Cancel(ref, by string) (host.Run, error) {
	run, err := m.find(ref)
	if err != nil {
		return run, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.runs[run.ID]
	if l == nil {
		return run, fmt.Errorf("%s: %w", run.ID, ErrOver)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.run.Cancelled == "" {
		l.run.Cancelled = by
		if err := m.Store.KeepRun(l.run); err != nil {
			l.run.Cancelled = ""
			return run, err
		}
	}
	if l.cancel != nil {
		l.cancel(errCancelled)
	}
	l.tell()
	return l.run.Clone(), nil
}

// Runs returns the runs that are kept, the newest first, without the names of
// their hosts.
func (m *Manager) Runs() ([]host.Run, error) {
	all, err := m.Store.Runs()
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	for i, r := range all {
		m.mu.Lock()
		if l := m.runs[r.ID]; l != nil {
			r = l.snapshot()
		}
		m.mu.Unlock()
		r.Hosts = nil
		all[i] = r
	}
	return all, nil
}

func (m *Manager) find(ref string) (host.Run, error) {
	all, err := m.Store.Runs()
	if err != nil {
		return host.Run{}, err
	}
	for _, r := range slices.Backward(all) {
		if r.ID == ref || ref == Last {
			return r, nil
		}
	}
	if ref == Last {
		return host.Run{}, fmt.Errorf("%w: none was ever begun", ErrUnknown)
	}
	return host.Run{}, fmt.Errorf("%s: %w: provision config runs lists those that are kept", ref, ErrUnknown)
}

// idLayout is a run's time to the millisecond, with a hyphen for the dot.
const idLayout = "20060102-150405.000"

// newID names a run by its time, but later than every run before it: whatever the
// clock does, IDs are in the order in which runs began. It is called with the
// lock held.
func (m *Manager) newID(now time.Time) string {
	m.named = time.UnixMilli(max(now.UnixMilli(), m.named.UnixMilli()+1)).UTC()
	return strings.Replace(m.named.Format(idLayout), ".", "-", 1)
}

// namedAt is the time in a run's ID, zero when it is none of ours.
func namedAt(id string) time.Time {
	i := strings.LastIndexByte(id, '-')
	if i < 0 {
		return time.Time{}
	}
	at, err := time.Parse(idLayout, id[:i]+"."+id[i+1:])
	if err != nil {
		return time.Time{}
	}
	return at
}

// now is the time as it will be read back from the store.
func (m *Manager) now() time.Time { return m.Now().UTC().Round(0) }
