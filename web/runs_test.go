package web_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/store"
	"provision.internal/upkeep"
	"provision.internal/web"
)

// steady is a runner on whose hosts playbooks end when free is closed, but for
// node1, where they have failed before.
type steady struct{ free chan struct{} }

func (s steady) Run(ctx context.Context, t ansible.Target, run ansible.Run) ([]ansible.Outcome, error) {
	if t.Host == "node1" {
		return nil, nomad.ErrJob
	}
	select {
	case <-s.free:
		return []ansible.Outcome{{Playbook: "base.yml"}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (steady) Stop(context.Context, string, ansible.Run) error { return nil }

func targetNamed(name string) upkeep.Target {
	return upkeep.Target{Target: ansible.Target{Host: name}, Playbooks: []string{"base.yml"}}
}

// configured is an appliance with a manager of runs over node1 and node2.
func configured(t *testing.T, dir string, run steady) appliance {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	a := start(t, dir, func(s *web.Server) {
		m, err := upkeep.New(upkeep.Parts{
			Store: s.Hosts.(*store.Store), Runner: run, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Targets: func() []upkeep.Target { return []upkeep.Target{targetNamed("node1"), targetNamed("node2")} },
			Target:  func(name string) (upkeep.Target, bool) { return targetNamed(name), true },
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Upkeep = m
		go func() { done <- m.Run(ctx) }()
	})
	stop := a.stop
	a.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("upkeep: %v", err)
		}
		done <- nil
		stop()
	}
	t.Cleanup(a.stop)
	return a
}

// A follower hears of every host, through silence and through a restart of the
// daemon, until the run is over.
func TestFollowRunThroughARestart(t *testing.T) {
	dir := t.TempDir()
	free := make(chan struct{})
	a := configured(t, dir, steady{free})
	run, err := a.Dispatch(t.Context(), upkeep.Request{All: true, Commit: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]host.Result{}
	beats, lost := 0, 0
	waited := make(chan struct{})
	var end host.Run
	followed := make(chan error, 1)
	go func() {
		followed <- a.FollowRun(t.Context(), upkeep.Last, func(u web.RunUpdate) error {
			switch {
			case u.Row != nil:
				rows[u.Row.Host] = u.Row.Result
			case u.Run != nil:
				end = *u.Run
			default:
				if beats++; beats == 2 {
					close(waited)
				}
			}
			return nil
		}, func(error) { lost++ })
	}()
	<-waited
	a.stop()
	a = configured(t, dir, steady{free})
	close(free)
	if err := <-followed; err != nil {
		t.Fatal(err)
	}
	if end.ID != run.ID || !end.Over() || rows["node1"] != host.ResultFailed || rows["node2"] != host.ResultOK || lost != 1 {
		t.Errorf("run %+v, rows %v, lost the daemon %d times", end, rows, lost)
	}
	// What f returns ends it; a run that is over is told at once.
	enough := errors.New("enough")
	if err := a.FollowRun(t.Context(), run.ID, func(web.RunUpdate) error { return enough }, func(error) {}); !errors.Is(err, enough) {
		t.Errorf("FollowRun: %v, want what f returned", err)
	}
	all, err := a.Runs(t.Context())
	if err != nil || len(all) != 1 || all[0].Hosts != nil || all[0].Of != 2 || all[0].Bad() != 1 {
		t.Errorf("Runs: %+v, %v", all, err)
	}
}

func TestRunRefusals(t *testing.T) {
	free := make(chan struct{})
	a := configured(t, t.TempDir(), steady{free})
	_, err := a.Dispatch(t.Context(), upkeep.Request{})
	wantCode(t, err, web.CodeInvalid, "--host")
	run, err := a.Dispatch(t.Context(), upkeep.Request{All: true, Commit: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Dispatch(t.Context(), upkeep.Request{All: true, Commit: "c1"})
	wantCode(t, err, web.CodeConflict, run.ID)
	err = a.FollowRun(t.Context(), "nonsense", func(web.RunUpdate) error { return nil }, func(error) {})
	wantCode(t, err, web.CodeUnknown, "provision config runs")
	if _, err := a.CancelRun(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	err = a.FollowRun(t.Context(), run.ID, func(web.RunUpdate) error { return nil }, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.CancelRun(t.Context(), run.ID)
	wantCode(t, err, web.CodeState, run.ID)
	_, err = a.SetCommit(t.Context(), "a b")
	wantCode(t, err, web.CodeInvalid)
	_, err = a.PauseConfig(t.Context(), -time.Second)
	wantCode(t, err, web.CodeInvalid)
}

// What operators decide is answered as it then is.
func TestConfigDecisions(t *testing.T) {
	a := configured(t, t.TempDir(), steady{})
	if u, err := a.SetCommit(t.Context(), "c7"); err != nil || u.Commit != "c7" || u.CommitBy == "" {
		t.Errorf("SetCommit: %+v, %v", u, err)
	}
	if u, err := a.PauseConfig(t.Context(), time.Hour); err != nil || !u.Paused || u.PausedUntil.IsZero() {
		t.Errorf("PauseConfig: %+v, %v", u, err)
	}
	if st, err := a.ConfigStatus(t.Context()); err != nil || !st.Paused || st.Commit != "c7" || len(st.Hosts) != 2 {
		t.Errorf("ConfigStatus: %+v, %v", st, err)
	}
	if u, err := a.ResumeConfig(t.Context()); err != nil || u.Paused {
		t.Errorf("ResumeConfig: %+v, %v", u, err)
	}
}
