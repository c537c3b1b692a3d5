package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/store"
)

// rack is a store with Ready hosts, a runner that does as it is told, and
// a manager.
type rack struct {
	*store.Store
	t     *testing.T
	dir   string
	names []string

	mu      sync.Mutex
	play    func(ctx context.Context, t ansible.Target, r ansible.Run) (ansible.Outcome, error)
	on      map[string]string // host → attempt that is on it
	played  []string          // HOST ATTEMPT, as they began
	stopped []string
}

const patience = 30 * time.Second

func newRack(t *testing.T, hosts int) *rack {
	t.Helper()
	r := &rack{t: t, dir: t.TempDir(), on: map[string]string{}}
	r.open()
	for n := range hosts {
		name := fmt.Sprintf("node%02d", n+1)
		r.names = append(r.names, name)
		r.walk(mac(n), name, host.Admitted, host.Failed, host.Booted, host.Joined, host.Configured, host.Ready)
	}
	return r
}

func mac(n int) host.MAC { return host.MAC{0x52, 0x54, 0, 0, byte(n >> 8), byte(n)} }

func (r *rack) open() {
	r.t.Helper()
	var err error
	if r.Store, err = store.Open(r.dir, nil); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = r.Store.Close() })
}

func (r *rack) walk(mac host.MAC, name string, states ...host.State) {
	r.t.Helper()
	for _, s := range states {
		_, err := r.Change(mac, "test", "", func(h *host.Host) (err error) {
			h.Name, h.Role = name, "worker"
			if s == host.Failed { // the way around a grant
				*h, err = h.Fail("installed by hand", time.Now())
				return err
			}
			*h, err = h.Advance(s, time.Now())
			return err
		})
		if err != nil {
			r.t.Fatalf("%s to %s: %v", name, s, err)
		}
	}
}

func (r *rack) targets() (all []Target) {
	for _, h := range r.Hosts() {
		if h.State == host.Ready {
			all = append(all, Target{
				Target: ansible.Target{Host: h.Name, Role: h.Role}, MAC: h.MAC, Playbooks: []string{"base.yml"}, Configuration: h.Configuration,
			})
		}
	}
	return all
}

func (r *rack) target(name string) (Target, bool) { return named(r.targets(), name) }

func named(all []Target, name string) (Target, bool) {
	i := slices.IndexFunc(all, func(t Target) bool { return t.Host == name })
	if i < 0 {
		return Target{}, false
	}
	return all[i], true
}

// Run is the runner's: it fails the test when two runs are on one host.
func (r *rack) Run(ctx context.Context, t ansible.Target, run ansible.Run) ([]ansible.Outcome, error) {
	r.mu.Lock()
	if other := r.on[t.Host]; other != "" {
		r.t.Errorf("run %s is on %s while %s is", run.Attempt, t.Host, other)
	}
	r.on[t.Host] = run.Attempt
	r.played = append(r.played, t.Host+" "+run.Attempt)
	play := r.play
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.on, t.Host)
	}()
	var all []ansible.Outcome
	for _, p := range run.Playbooks {
		o := ansible.Outcome{}
		var err error
		if play != nil {
			o, err = play(ctx, t, run)
		}
		o.Playbook = p
		if o.Recap == nil {
			o.Recap = &ansible.Recap{Hosts: map[string]host.Totals{t.Host: {OK: 3}}}
		}
		if err != nil && ctx.Err() != nil {
			return all, err
		}
		if err != nil {
			o.Failure = err.Error()
		}
		all = append(all, o)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func (r *rack) Stop(_ context.Context, name string, run ansible.Run) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = append(r.stopped, name)
	return nil
}

// manage starts a manager; kill ends it as a killed appliance would: nothing is
// taken back.
func (r *rack) manage(change ...func(*Parts)) (m *Manager, kill func()) {
	r.t.Helper()
	p := Parts{
		Store: r.Store, Runner: r, Targets: r.targets, Target: r.target, Log: slog.New(slog.NewTextHandler(r.t.Output(), nil)), Tick: 10 * time.Millisecond,
	}
	for _, c := range change {
		c(&p)
	}
	m, err := New(p)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := m.Run(ctx); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
	kill = sync.OnceFunc(func() {
		cancel()
		done.Wait()
	})
	r.t.Cleanup(kill)
	return m, kill
}

func dispatch(t *testing.T, m *Manager, req Request) host.Run {
	t.Helper()
	run, err := m.Dispatch(req, "ann")
	if err != nil {
		t.Fatalf("Dispatch(%+v): %v", req, err)
	}
	return run
}

// await follows a run until want holds, and returns its rows by host.
func await(t *testing.T, m *Manager, id string, want func(host.Run, map[string]host.Row) bool) (host.Run, map[string]host.Row) {
	t.Helper()
	s, err := m.Follow(id)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]host.Row{}
	give := time.After(patience)
	for {
		run, some, more := s.Next()
		for _, r := range some {
			rows[r.Host] = r
		}
		if want(run, rows) {
			return run, rows
		}
		if more == nil {
			t.Fatalf("run %s is over and not as wanted: %+v %+v", id, run, rows)
		}
		select {
		case <-more:
		case <-give:
			t.Fatalf("run %s hangs: %+v %+v", id, run, rows)
		}
	}
}

func over(r host.Run, _ map[string]host.Row) bool { return r.Over() }

func changes(name string, tasks ...string) *ansible.Recap {
	r := &ansible.Recap{Hosts: map[string]host.Totals{name: {OK: 3, Changed: len(tasks)}}}
	for _, task := range tasks {
		r.Changes = append(r.Changes, ansible.Change{Play: "base", Task: task, Host: name})
	}
	return r
}

func bad(reason string) error { return fmt.Errorf("%w: %s", nomad.ErrJob, reason) }

// Each host's result is its own, kept with its tasks, and on the host.
func TestDispatch(t *testing.T) {
	r := newRack(t, 3)
	r.play = func(_ context.Context, t ansible.Target, run ansible.Run) (ansible.Outcome, error) {
		switch t.Host {
		case "node02":
			return ansible.Outcome{Job: "job2", Recap: changes(t.Host, "write motd")}, nil
		case "node03":
			return ansible.Outcome{Recap: &ansible.Recap{
				Hosts: map[string]host.Totals{t.Host: {Failed: 1}}, Failures: []ansible.Failure{{Play: "base", Task: "chrony", Message: "no package"}},
			}}, bad("exit code 2")
		}
		return ansible.Outcome{}, nil
	}
	m, kill := r.manage()
	run := dispatch(t, m, Request{All: true, Commit: "c1"})
	run, rows := await(t, m, run.ID, over)
	if run.Tally[host.ResultOK] != 1 || run.Tally[host.ResultChanged] != 1 || run.Tally[host.ResultFailed] != 1 || run.Bad() != 1 {
		t.Errorf("tally %v, want one of each", run.Tally)
	}
	if got := rows["node02"]; got.Result != host.ResultChanged || got.Job != "job2" || !slices.Equal(got.Changes, []string{"base: write motd"}) || len(got.Drift) != 0 {
		t.Errorf("node02: %+v", got)
	}
	if got := rows["node03"]; got.Reason != bad("exit code 2").Error() || !slices.Equal(got.Failures, []string{"base: chrony: no package"}) {
		t.Errorf("node03: %+v", got)
	}
	h, err := r.Named("node02")
	if err != nil || h.Configuration == nil || h.Configuration.Commit != "c1" {
		t.Errorf("the host's configuration is %+v, %v; want commit c1", h.Configuration, err)
	}
	kill()
	// What a restarted appliance says is the same.
	m, _ = r.manage()
	_, again := await(t, m, Last, over)
	if len(again) != 3 || again["node03"].Reason != rows["node03"].Reason {
		t.Errorf("after a restart the rows are %+v", again)
	}
	st := m.Status()
	if len(st.Hosts) != 3 || st.Hosts[0].Commit != "c1" || st.Hosts[2].Result != host.ResultFailed || st.Hosts[1].Drift != DriftNone {
		t.Errorf("status %+v", st.Hosts)
	}
}
