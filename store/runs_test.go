package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision.internal/host"
)

func reopened(t *testing.T, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(s.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	return again
}

// Runs, their rows, where hosts stand and what was decided survive a restart.
func TestRunsSurviveARestart(t *testing.T) {
	s, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	run := host.Run{ID: "20260301-120000-0001", By: "ann", Cause: host.CauseDispatch, Commit: "c1", Began: now, Hosts: []string{"a", "b"}, Of: 2}
	rows := []host.Row{
		{Run: run.ID, Host: "a", Result: host.ResultChanged, Totals: host.Totals{OK: 3, Changed: 1}, Changes: []string{"base: motd"}, Began: now},
		{Run: run.ID, Host: "b", Result: host.ResultFailed, Reason: "exit code 2", Began: now, Ended: now.Add(time.Second)},
	}
	standing := host.Standing{Host: "a", Applied: map[string]string{"base.yml": "c1"}, Last: &rows[0], Commit: "c1"}
	decided := host.Upkeep{Commit: "c1", Paused: true, PausedUntil: now.Add(time.Hour), Next: now.Add(2 * time.Hour)}
	for _, err := range []error{
		s.KeepRun(run), s.KeepRow(rows[0], &standing), s.KeepRow(rows[1], &host.Standing{Host: "b"}), s.KeepUpkeep(decided), s.ForgetStanding("b"),
		s.KeepRow(host.Row{Run: "20260301-120000-0001x", Host: "c"}, nil), // a run whose ID begins like the other's
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s = reopened(t, s)
	gotRuns, err1 := s.Runs()
	gotRows, err2 := s.Rows(run.ID)
	gotStandings, err3 := s.Standings()
	gotDecided, err4 := s.Upkeep()
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		t.Fatal(err1, err2, err3, err4)
	}
	if diff := cmp.Diff([]host.Run{run}, gotRuns); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(rows, gotRows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]host.Standing{standing}, gotStandings); diff != "" {
		t.Errorf("standings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(decided, gotDecided); diff != "" {
		t.Errorf("decided (-want +got):\n%s", diff)
	}
}

// The oldest runs that are over go, with their rows and nobody else's; what is
// under way stays.
func TestOldRunsAreForgotten(t *testing.T) {
	s, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	id := func(n int) string { return fmt.Sprintf("20260301-120000-%04d", n) }
	keep := func(n, of int, over bool) {
		t.Helper()
		r := host.Run{ID: id(n), Of: of}
		if over {
			r.Ended = time.Unix(1, 0)
		}
		if err := s.KeepRun(r); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b"} {
			if err := s.KeepRow(host.Row{Run: r.ID, Host: name}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(want ...int) {
		t.Helper()
		runs, err := s.Runs()
		if err != nil {
			t.Fatal(err)
		}
		var got, wanted []string
		for _, r := range runs {
			got = append(got, r.ID)
			if rows, err := s.Rows(r.ID); err != nil || len(rows) != 2 {
				t.Errorf("run %s has rows %v, %v; want 2", r.ID, rows, err)
			}
		}
		for _, n := range want {
			wanted = append(wanted, id(n))
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
	}
	keep(0, 2, false)
	var want []int
	for n := 1; n <= runsKept+5; n++ {
		keep(n, 2, true)
		want = append(want, n)
	}
	check(append([]int{0}, want[5:]...)...)
	if rows, err := s.Rows(id(1)); err != nil || len(rows) != 0 {
		t.Errorf("a forgotten run has rows %v, %v", rows, err)
	}
	keep(900, rowsKept, true) // so large that nothing else fits
	check(0, 900)
	keep(901, rowsKept+1, true)
	check(0, 901)
}
