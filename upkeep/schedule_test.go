package upkeep

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
)

// schedules waits until the manager has begun n scheduled runs, and for the end
// of the last.
func schedules(t *testing.T, m *Manager, n int) (host.Run, map[string]host.Row) {
	t.Helper()
	for give := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		all, err := m.Runs()
		if err != nil {
			t.Fatal(err)
		}
		all = slices.DeleteFunc(all, func(r host.Run) bool { return r.Cause != host.CauseSchedule })
		if len(all) >= n {
			return await(t, m, all[len(all)-n].ID, over)
		}
		if time.Now().After(give) {
			t.Fatalf("the schedule began %d runs, want %d", len(all), n)
		}
	}
}

func every(d, jitter time.Duration) func(*Parts) {
	return func(p *Parts) {
		p.Config = ansible.Config{Commit: "c1", Schedule: ansible.Schedule{Every: d, Jitter: jitter}}
	}
}

// The schedule applies the commit again. A change then is drift, and corrected; the
// first time that a commit is applied it is none.
func TestTheScheduleCorrectsDrift(t *testing.T) {
	r := newRack(t, 2)
	var drifted atomic.Bool
	r.play = func(_ context.Context, t ansible.Target, _ ansible.Run) (ansible.Outcome, error) {
		if t.Host == "node02" && (drifted.Load()) {
			return ansible.Outcome{Recap: changes(t.Host, "sshd keys")}, nil
		}
		if t.Host == "node02" {
			return ansible.Outcome{Recap: changes(t.Host, "motd", "sshd keys")}, nil
		}
		return ansible.Outcome{}, nil
	}
	m, kill := r.manage(every(time.Hour, 0))
	run := dispatch(t, m, Request{All: true})
	if _, rows := await(t, m, run.ID, over); len(rows["node02"].Drift) != 0 || rows["node02"].Result != host.ResultChanged {
		t.Errorf("at the first time: %+v", rows["node02"])
	}
	drifted.Store(true)
	check := dispatch(t, m, Request{All: true, Check: true})
	await(t, m, check.ID, over)
	st := m.Status().Hosts[1]
	if st.Drift != DriftFound || !slices.Equal(st.Drifted, []string{"base: sshd keys"}) || st.Run != run.ID {
		t.Errorf("after a check: %+v", st)
	}
	// A check of what was never applied says nothing of drift.
	other := dispatch(t, m, Request{All: true, Check: true, Commit: "c2"})
	if _, rows := await(t, m, other.ID, over); len(rows["node02"].Drift) != 0 {
		t.Errorf("a check of another commit: %+v", rows["node02"])
	}
	kill()
	m, _ = r.manage(every(50*time.Millisecond, 10*time.Millisecond))
	run, rows := schedules(t, m, 1)
	if run.By != "schedule" || run.Commit != "c1" || !slices.Equal(rows["node02"].Drift, []string{"base: sshd keys"}) || len(rows["node01"].Drift) != 0 {
		t.Errorf("run %+v, rows %+v", run, rows)
	}
	if st := m.Status(); st.Hosts[1].Drift != DriftCorrected || st.Hosts[0].Drift != DriftNone {
		t.Errorf("after the correction: %+v", st.Hosts)
	}
	schedules(t, m, 2)
}

// A pause holds the schedule also after a restart, leaves dispatches alone, and
// ends by itself or by an operator.
func TestPause(t *testing.T) {
	r := newRack(t, 1)
	m, kill := r.manage(every(20*time.Millisecond, 0))
	schedules(t, m, 1)
	if _, err := m.Pause(0, "ann"); err != nil {
		t.Fatal(err)
	}
	kill()
	m, kill = r.manage(every(20*time.Millisecond, 0))
	if st := m.Status(); !st.Paused || st.PausedBy != "ann" {
		t.Errorf("after a restart: %+v", st.Upkeep)
	}
	before, err := m.Runs()
	if err != nil {
		t.Fatal(err)
	}
	run := dispatch(t, m, Request{All: true})
	await(t, m, run.ID, func(_ host.Run, rows map[string]host.Row) bool { return rows["node01"].Result == host.ResultOK })
	time.Sleep(60 * time.Millisecond) // three times that the schedule would have begun
	after, err := m.Runs()
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before)+1 {
		t.Errorf("while paused the runs went from %d to %d, want the dispatch alone", len(before), len(after))
	}
	if _, err := m.Resume(); err != nil {
		t.Fatal(err)
	}
	schedules(t, m, 2)
	u, err := m.Pause(50*time.Millisecond, "ann")
	if err != nil || !u.Paused || u.PausedUntil.IsZero() {
		t.Fatalf("Pause: %+v, %v", u, err)
	}
	schedules(t, m, 4) // it has ended by itself
	if m.Status().Paused {
		t.Error("still paused")
	}
	if _, err := m.Pause(-time.Second, "ann"); err == nil {
		t.Error("a pause into the past is taken")
	}
	kill()
}

// A pause in the middle of a turn holds the hosts whose time has not come; a new
// commit leaves them out, since it is to be applied, and not what is older.
func TestDecisionsInTheMiddleOfATurn(t *testing.T) {
	r := newRack(t, 3)
	free := make(chan struct{}, 3)
	r.play = func(ctx context.Context, _ ansible.Target, _ ansible.Run) (ansible.Outcome, error) {
		select {
		case <-free:
		case <-ctx.Done():
		}
		return ansible.Outcome{}, ctx.Err()
	}
	m, kill := r.manage(every(20*time.Millisecond, 0), func(p *Parts) { p.Config.Schedule.Parallel = 1 })
	var run host.Run
	for run.ID == "" {
		all, err := m.Runs()
		if err != nil {
			t.Fatal(err)
		}
		if len(all) > 0 {
			run = all[0]
		}
	}
	await(t, m, run.ID, func(run host.Run, _ map[string]host.Row) bool { return run.Tally[host.ResultRunning] == 1 })
	if _, err := m.Pause(0, "ann"); err != nil {
		t.Fatal(err)
	}
	free <- struct{}{}
	await(t, m, run.ID, func(run host.Run, rows map[string]host.Row) bool {
		paused := 0
		for _, r := range rows {
			if strings.Contains(r.Reason, "paused by ann") {
				paused++
			}
		}
		return run.Tally[host.ResultOK] == 1 && paused == 2
	})
	if _, err := m.SetCommit("c2", "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Resume(); err != nil {
		t.Fatal(err)
	}
	run, rows := await(t, m, run.ID, over)
	if run.Tally[host.ResultCancelled] != 2 {
		t.Errorf("tally %v, rows %+v", run.Tally, rows)
	}
	close(free)
	kill()
	if m.Commit() != "c2" {
		t.Errorf("commit %q, want c2", m.Commit())
	}
}

// Hosts are spread over the jitter, and each has the same time after a restart.
func TestSpread(t *testing.T) {
	const jitter = 1000 * time.Second
	tenths := make([]int, 10)
	for n := range 1000 {
		d := spread("20260301-120000-0001", "node"+string(rune('a'+n%26))+string(rune('a'+n/26)), jitter)
		if d < 0 || d >= jitter {
			t.Fatalf("%s is outside of the jitter", d)
		}
		tenths[d/(jitter/10)]++
	}
	for i, n := range tenths {
		if n < 60 || n > 150 {
			t.Errorf("the tenth %d of the jitter has %d of 1000 hosts", i, n)
		}
	}
	first, again, other := spread("a", "node1", jitter), spread("a", "node1", jitter), spread("b", "node1", jitter)
	if first != again || first == other {
		t.Errorf("a host's times in two runs: %s, then %s; %s", first, again, other)
	}
	if spread("a", "node1", 0) != 0 {
		t.Error("without jitter there is a delay")
	}
}

// A new life begins with the enrolment: what was applied before counts no more.
func TestAnEnrolmentBeginsANewLife(t *testing.T) {
	began := time.Unix(1000, 0)
	old := host.Standing{
		Host: "node01", Applied: map[string]string{"base.yml": "c1", "old.yml": "c1"}, Commit: "c1",
		Last: &host.Row{Result: host.ResultFailed, Ended: began}, Check: &host.Row{Ended: began, Drift: []string{"x"}},
	}
	target := Target{Target: ansible.Target{Host: "node01"}, Configuration: &host.Configuration{
		Commit: "c2", Ended: began.Add(time.Hour), Failure: "exit code 2",
		Playbooks: []host.Played{{Playbook: "base.yml", Totals: host.Totals{Changed: 4}}, {Playbook: "nomad.yml"}},
	}}
	got := merge(old, target)
	if len(got.Applied) != 1 || got.Applied["base.yml"] != "c2" || got.Commit != "c2" || got.Check != nil || got.Last.Result != host.ResultFailed {
		t.Errorf("standing %+v, last %+v", got, got.Last)
	}
	target.Configuration.Ended = began // ours
	if got := merge(old, target); got.Commit != "c1" {
		t.Errorf("our own record replaced what is known: %+v", got)
	}
}
