package upkeep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
)

// A host that hangs holds up no other, even where hosts go one at a time.
func TestAHangingHostHoldsUpNobody(t *testing.T) {
	r := newRack(t, 5)
	free := make(chan struct{})
	r.play = func(ctx context.Context, t ansible.Target, _ ansible.Run) (ansible.Outcome, error) {
		if t.Host == "node01" {
			select {
			case <-free:
			case <-ctx.Done():
				return ansible.Outcome{}, ctx.Err()
			}
		}
		return ansible.Outcome{}, nil
	}
	m, _ := r.manage(func(p *Parts) { p.Loan = 20 * time.Millisecond })
	run := dispatch(t, m, Request{All: true, Parallel: 1})
	_, rows := await(t, m, run.ID, func(run host.Run, _ map[string]host.Row) bool { return run.Tally[host.ResultOK] == 4 })
	if rows["node01"].Result != host.ResultRunning {
		t.Errorf("node01: %+v, want it to run on", rows["node01"])
	}
	close(free)
	await(t, m, run.ID, over)
}

// A node that is away costs its own host only, and no place of another.
func TestAnAbsentNodeIsUnreachable(t *testing.T) {
	r := newRack(t, 3)
	m, _ := r.manage(func(p *Parts) {
		p.Patience = 50 * time.Millisecond
		p.Ready = func(ctx context.Context, name string) error {
			if name != "node02" {
				return nil
			}
			<-ctx.Done()
			return fmt.Errorf("wait for node %s: the node is down", name)
		}
	})
	run := dispatch(t, m, Request{All: true, Parallel: 1})
	run, rows := await(t, m, run.ID, over)
	if got := rows["node02"]; got.Result != host.ResultUnreachable || !strings.Contains(got.Reason, "the node is down") || !got.Began.IsZero() {
		t.Errorf("node02: %+v", got)
	}
	if run.Tally[host.ResultOK] != 2 {
		t.Errorf("tally %v, want 2 ok", run.Tally)
	}
	if st := m.Status().Hosts[1]; st.Missed != rows["node02"].Reason || st.Result != "" {
		t.Errorf("status %+v, want that it was missed", st)
	}
}

// Two runs and an enrolment meet on one host: one after the other, in order. The
// rack fails the test when they do not.
func TestOneAtATimeOnAHost(t *testing.T) {
	r := newRack(t, 1)
	r.play = func(context.Context, ansible.Target, ansible.Run) (ansible.Outcome, error) {
		time.Sleep(10 * time.Millisecond)
		return ansible.Outcome{}, nil
	}
	m, _ := r.manage()
	done, err := m.Turn(t.Context(), "node01")
	if err != nil {
		t.Fatal(err)
	}
	first := dispatch(t, m, Request{All: true, Commit: "c1"})
	second := dispatch(t, m, Request{All: true, Commit: "c2"})
	_, rows := await(t, m, first.ID, func(_ host.Run, rows map[string]host.Row) bool {
		return strings.Contains(rows["node01"].Reason, "its enrolment is on it")
	})
	if rows["node01"].Result != host.ResultWaiting {
		t.Errorf("while it is enrolled: %+v", rows["node01"])
	}
	await(t, m, second.ID, func(_ host.Run, rows map[string]host.Row) bool { return rows["node01"].Reason != "" })
	done()
	await(t, m, second.ID, over)
	r.mu.Lock()
	defer r.mu.Unlock()
	if want := []string{"node01 " + first.ID, "node01 " + second.ID}; !slices.Equal(r.played, want) {
		t.Errorf("played %q, want %q", r.played, want)
	}
}

// What is under way is not begun twice, and what cannot be meant not at all.
func TestRefused(t *testing.T) {
	r := newRack(t, 2)
	free := make(chan struct{})
	defer close(free)
	r.play = func(ctx context.Context, _ ansible.Target, _ ansible.Run) (ansible.Outcome, error) {
		select {
		case <-free:
		case <-ctx.Done():
		}
		return ansible.Outcome{}, ctx.Err()
	}
	m, _ := r.manage(func(p *Parts) { p.Config = ansible.Config{Image: "registry.example/ansible"} })
	run := dispatch(t, m, Request{All: true, Commit: "c1"})
	for _, test := range []struct {
		name string
		req  Request
		want error
		text string
	}{
		{"the same", Request{Hosts: []string{"node02", "node01", "node02"}, Commit: "c1"}, ErrBusy, run.ID},
		{"nowhere", Request{Commit: "c1"}, ErrInvalid, "one of --host"},
		{"everywhere twice", Request{All: true, Role: "worker", Commit: "c1"}, ErrInvalid, "one of --host"},
		{"a stranger", Request{Hosts: []string{"node09"}, Commit: "c1"}, ErrInvalid, "node09"},
		{"a role without hosts", Request{Role: "router", Commit: "c1"}, ErrInvalid, `"router"`},
		{"no commit", Request{All: true}, ErrInvalid, "provision config publish"},
		{"no tag", Request{All: true, Commit: "a b"}, ErrInvalid, "a b"},
		{"no playbook", Request{All: true, Commit: "c1", Playbooks: []string{"../x.yml"}}, ErrInvalid, "../x.yml"},
		{"not our cause", Request{All: true, Commit: "c1", Cause: host.CauseSchedule}, ErrInvalid, "schedule"},
		{"nobody at a time", Request{All: true, Commit: "c1", Parallel: -1}, ErrInvalid, "-1"},
	} {
		_, err := m.Dispatch(test.req, "ann")
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: Dispatch(%+v) = %v, want %v with %q", test.name, test.req, err, test.want, test.text)
		}
	}
	for n := range maxOpen - 1 {
		dispatch(t, m, Request{All: true, Commit: fmt.Sprint("d", n)})
	}
	if _, err := m.Dispatch(Request{All: true, Commit: "more"}, "ann"); !errors.Is(err, ErrBusy) {
		t.Errorf("run number %d: %v, want ErrBusy", maxOpen+1, err)
	}
	if _, err := m.Follow("nonsense"); !errors.Is(err, ErrUnknown) {
		t.Errorf("Follow: %v, want ErrUnknown", err)
	}
}

// An appliance that is killed goes on with what it began: with the same attempt
// on the host that it was on, not at all on those that are done, and in the same
// order where another run waits.
func TestGoesOnAfterAKill(t *testing.T) {
	r := newRack(t, 3)
	hang := func(ctx context.Context, t ansible.Target, run ansible.Run) (ansible.Outcome, error) {
		if t.Host == "node01" && run.Commit == "c1" {
			return ansible.Outcome{}, nil
		}
		<-ctx.Done()
		return ansible.Outcome{}, ctx.Err()
	}
	r.play = hang
	m, kill := r.manage()
	first := dispatch(t, m, Request{All: true, Commit: "c1"})
	await(t, m, first.ID, func(run host.Run, _ map[string]host.Row) bool {
		return run.Tally[host.ResultOK] == 1 && run.Tally[host.ResultRunning] == 2
	})
	second := dispatch(t, m, Request{All: true, Commit: "c2"})
	kill()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.open()
	r.mu.Lock()
	r.play, r.played = nil, nil
	r.mu.Unlock()
	m, _ = r.manage()
	run, _ := await(t, m, second.ID, over)
	if run.Tally[host.ResultOK] != 3 {
		t.Errorf("second run: %v", run.Tally)
	}
	await(t, m, first.ID, over)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range r.names {
		var got []string
		for _, p := range r.played {
			if strings.HasPrefix(p, name+" ") {
				got = append(got, strings.TrimPrefix(p, name+" "))
			}
		}
		want := []string{first.ID, second.ID}
		if name == "node01" {
			want = want[1:]
		}
		if !slices.Equal(got, want) {
			t.Errorf("after the kill %s was configured by %q, want %q", name, got, want)
		}
	}
	if len(r.stopped) > 0 {
		t.Errorf("the kill stopped %q", r.stopped)
	}
}

// A host that leaves Ready is let go of, and its job is stopped.
func TestAHostThatLeavesReadyIsLetGo(t *testing.T) {
	r := newRack(t, 1)
	r.play = func(ctx context.Context, _ ansible.Target, _ ansible.Run) (ansible.Outcome, error) {
		<-ctx.Done()
		return ansible.Outcome{}, ctx.Err()
	}
	m, _ := r.manage()
	run := dispatch(t, m, Request{All: true})
	await(t, m, run.ID, func(run host.Run, _ map[string]host.Row) bool { return run.Tally[host.ResultRunning] == 1 })
	r.walk(mac(0), "node01", host.Retired)
	_, rows := await(t, m, run.ID, over)
	if got := rows["node01"]; got.Result != host.ResultUnreachable || !strings.Contains(got.Reason, "not Ready any more") {
		t.Errorf("row %+v", got)
	}
	if !slices.Equal(r.stopped, []string{"node01"}) {
		t.Errorf("stopped %q", r.stopped)
	}
}

// A run that is taken back stops what runs and leaves out what waits, also after
// a restart.
func TestCancel(t *testing.T) {
	r := newRack(t, 2)
	r.play = func(ctx context.Context, _ ansible.Target, _ ansible.Run) (ansible.Outcome, error) {
		<-ctx.Done()
		return ansible.Outcome{}, ctx.Err()
	}
	m, kill := r.manage()
	run := dispatch(t, m, Request{All: true, Parallel: 1})
	_, rows := await(t, m, run.ID, func(run host.Run, _ map[string]host.Row) bool { return run.Tally[host.ResultRunning] == 1 })
	running, waiting := "node01", "node02"
	if rows[waiting].Result == host.ResultRunning {
		running, waiting = waiting, running
	}
	kill()
	// Taken back before the next manager runs.
	m, err := New(Parts{Store: r.Store, Runner: r, Targets: r.targets, Target: r.target, Log: m.Log})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Cancel(run.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	m, _ = r.manage()
	run, rows = await(t, m, run.ID, over)
	if run.Cancelled != "bob" || run.Tally[host.ResultCancelled] != 2 || rows[waiting].Reason != "taken back by bob" {
		t.Errorf("run %+v, rows %+v", run, rows)
	}
	if !slices.Equal(r.stopped, []string{running}) {
		t.Errorf("stopped %q", r.stopped)
	}
	if _, err := m.Cancel(run.ID, "bob"); !errors.Is(err, ErrOver) {
		t.Errorf("Cancel of a run that is over: %v", err)
	}
}

// A cluster that cannot be asked is asked again; what stays unknown is stopped.
func TestAnUnknownOutcomeIsAskedForAgain(t *testing.T) {
	r := newRack(t, 1)
	asked := 0
	r.play = func(context.Context, ansible.Target, ansible.Run) (ansible.Outcome, error) {
		if asked++; asked < 3 {
			return ansible.Outcome{}, errors.New("no cluster leader")
		}
		return ansible.Outcome{}, nil
	}
	m, _ := r.manage()
	run := dispatch(t, m, Request{All: true})
	run, _ = await(t, m, run.ID, over)
	if run.Tally[host.ResultOK] != 1 || asked != 3 {
		t.Errorf("tally %v after %d questions", run.Tally, asked)
	}
	r.play = func(context.Context, ansible.Target, ansible.Run) (ansible.Outcome, error) {
		return ansible.Outcome{}, errors.New("no cluster leader")
	}
	began := time.Now()
	m, _ = r.manage(func(p *Parts) {
		// The run's deadline of 45 minutes and one more passes as soon as it has begun.
		p.Now = func() time.Time { return began.Add(-46*time.Minute + 100*time.Millisecond) }
	})
	run = dispatch(t, m, Request{All: true})
	_, rows := await(t, m, run.ID, over)
	if got := rows["node01"]; got.Result != host.ResultFailed || !strings.Contains(got.Reason, "no cluster leader") || !strings.Contains(got.Reason, "46m0s") {
		t.Errorf("row %+v", got)
	}
	if !slices.Equal(r.stopped, []string{"node01"}) {
		t.Errorf("stopped %q", r.stopped)
	}
}

// IDs are in the order of beginning, whatever the clock does.
func TestIDsAreInOrder(t *testing.T) {
	m := &Manager{}
	now := time.Date(2026, 3, 1, 12, 0, 0, int(412*time.Millisecond), time.UTC)
	last := ""
	for _, d := range []time.Duration{0, 0, time.Microsecond, 588 * time.Millisecond, -time.Hour, time.Hour} {
		id := m.newID(now.Add(d))
		if id <= last {
			t.Errorf("ID %s after %s", id, last)
		}
		if got := namedAt(id); !got.Equal(m.named) {
			t.Errorf("namedAt(%s) = %s, want %s", id, got, m.named)
		}
		last = id
	}
	if want := "20260301-130000-412"; last != want {
		t.Errorf("ID %s, want %s", last, want)
	}
	if at := namedAt("nonsense"); !at.IsZero() {
		t.Errorf("namedAt(nonsense) = %s", at)
	}
}
