package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
)

// machine is a host of the simulated cluster, on which Ansible keeps one file.
type machine struct {
	mu   sync.Mutex
	file string
	runs int
	hold chan struct{} // when not nil, a playbook takes from it as it begins and before it ends
}

// play is what ansible-playbook would do and say.
func (m *machine) play(ctx context.Context, t nomadtest.Task) nomadtest.Exit {
	m.mu.Lock()
	hold := m.hold
	m.runs++
	m.mu.Unlock()
	if hold != nil {
		for range 2 {
			select {
			case <-hold:
			case <-ctx.Done():
				return nomadtest.Exit{Code: 143}
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := 0
	if m.file != "as it should be" {
		changed = 1
		if !strings.Contains(fmt.Sprint(t.Config["args"]), "--check") {
			m.file = "as it should be"
		}
	}
	fmt.Fprintf(t.Stdout, `{"plays": [{"play": {"name": "all"}, "tasks": [{"task": {"name": "write the file"}, "hosts": {"node01": {"changed": %t}}}]}],
		"stats": {"node01": {"ok": 1, "changed": %d, "failures": 0, "ignored": 0, "rescued": 0, "skipped": 0, "unreachable": 0}}}`, changed > 0, changed)
	return nomadtest.Exit{}
}

func (m *machine) has() (file string, runs int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.file, m.runs
}

func (m *machine) set(file string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.file = file
}

// onCluster gives a rack with one host the real runner and a simulated cluster.
func onCluster(t *testing.T) (r *rack, m *machine, change func(*Parts)) {
	t.Helper()
	r, m = newRack(t, 1), &machine{}
	s := &nomadtest.Server{}
	s.Start()
	t.Cleanup(s.Close)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	cluster, err := nomad.New(nomad.Config{Address: s.URL, Servers: []string{"127.0.0.1:4647"}}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = cluster.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		run.Wait()
	})
	t.Cleanup(s.Join(&nomadtest.Client{Name: "node01", Task: m.play}))
	cfg := ansible.Config{Driver: ansible.RawExec, Directory: "/etc/provision/ansible", Commit: "c1", Playbooks: []string{"base.yml"}}
	return r, m, func(p *Parts) {
		cfg.Schedule = p.Config.Schedule
		p.Config, p.Runner = cfg, &ansible.Runner{Nomad: cluster, Config: cfg}
		p.Ready = func(ctx context.Context, name string) error {
			_, err := cluster.WaitNode(ctx, name)
			return err
		}
	}
}

// A change that somebody made by hand is found by a check and corrected by the
// schedule, by jobs in a cluster and Ansible's own words.
func TestAHandMadeChangeIsCorrected(t *testing.T) {
	r, machine, real := onCluster(t)
	m, kill := r.manage(real)
	run := dispatch(t, m, Request{All: true})
	_, rows := await(t, m, run.ID, over)
	if got := rows["node01"]; got.Result != host.ResultChanged || got.Totals.Changed != 1 || len(got.Drift) > 0 {
		t.Errorf("at the first time: %+v", got)
	}
	machine.set("made by hand")
	check := dispatch(t, m, Request{All: true, Check: true})
	await(t, m, check.ID, over)
	file, _ := machine.has()
	if st := m.Status().Hosts[0]; st.Drift != DriftFound || file != "made by hand" {
		t.Errorf("after the check: %+v, and the file is %q", st, file)
	}
	kill()
	m, kill = r.manage(every(100*time.Millisecond, 0), real)
	_, rows = schedules(t, m, 1)
	if got := rows["node01"]; !slices.Equal(got.Drift, []string{"all: write the file"}) {
		t.Errorf("in the scheduled run: %+v", got)
	}
	if file, _ := machine.has(); file != "as it should be" {
		t.Errorf("the file is %q", file)
	}
	_, rows = schedules(t, m, 2)
	if got := rows["node01"]; got.Result != host.ResultOK || len(got.Drift) > 0 {
		t.Errorf("in the next one: %+v", got)
	}
	kill()
	if h, err := r.Named("node01"); err != nil || h.Configuration == nil || h.Configuration.Commit != "c1" || len(h.Configuration.Playbooks) != 1 {
		t.Errorf("the host says %+v, %v", h.Configuration, err)
	}
}

// An appliance that is killed while a job runs finds that job again, and the
// playbook runs once.
func TestAKilledApplianceFindsItsJobs(t *testing.T) {
	r, machine, real := onCluster(t)
	machine.hold = make(chan struct{})
	m, kill := r.manage(real)
	run := dispatch(t, m, Request{All: true})
	select {
	case machine.hold <- struct{}{}: // it has begun, and goes on to the second
	case <-time.After(patience):
		t.Fatal("the playbook does not begin")
	}
	kill()
	m, _ = r.manage(real)
	machine.hold <- struct{}{}
	run, rows := await(t, m, run.ID, over)
	if _, runs := machine.has(); run.Tally[host.ResultChanged] != 1 || runs != 1 || rows["node01"].Job == "" {
		t.Errorf("run %+v, rows %+v; the playbook ran %d times", run, rows, runs)
	}
}
