package httpboot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
)

// logged waits for the store to write its batch and returns the lines of mac.
func (r *rig) logged(t *testing.T, mac host.MAC, want int) []string {
	t.Helper()
	changed, stop := r.store.Watch()
	defer stop()
	late := time.After(10 * time.Second)
	for {
		lines := r.events(t, mac, host.KindLog)
		if len(lines) >= want {
			return lines
		}
		select {
		case <-changed:
		case <-late:
			return lines
		}
	}
}

func TestReport(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	session, _ := r.take(t, mac1, secret1)
	send := func(sequence uint64, p host.Progress, lines ...string) {
		t.Helper()
		if status := r.post(t, pathReport, session, installer.Report{Sequence: sequence, Progress: p, Lines: lines}, nil); status != 200 {
			t.Fatalf("report %d: status %d, want 200", sequence, status)
		}
	}
	send(1, host.Progress{Step: "partition"}, "one", "t\two\x1b[31m")
	send(1, host.Progress{Step: "partition"}, "one", "t\two\x1b[31m") // its answer got lost
	send(2, host.Progress{Step: "packages", Done: 1, Of: 10}, strings.Repeat("x", 10_000))
	send(3, host.Progress{Step: "packages", Done: 2, Of: 10}) // too soon to be stored
	if p := r.get(t, mac1).Progress; p.Done != 1 {
		t.Errorf("progress = %+v, want the first value of the step", p)
	}
	r.pass(progressEvery)
	send(4, host.Progress{Step: "packages", Done: 3, Of: 10})
	if p := r.get(t, mac1).Progress; p.Done != 3 {
		t.Errorf("progress = %+v, want the value after a while", p)
	}
	if got := r.events(t, mac1, host.KindProgress); !slices.Equal(got, []string{"partition", "packages"}) {
		t.Errorf("progress events = %q, want one for each step", got)
	}
	lines := r.logged(t, mac1, 3)
	if len(lines) != 3 || lines[0] != "one" || lines[1] != "t wo[31m" || len(lines[2]) != maxLine {
		t.Errorf("%d lines, %.40q; want three, printable and bounded", len(lines), lines)
	}
}

// Lines that were under way when the install ended belong to it; progress does
// not.
func TestReportAfterTheEnd(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	session, _ := r.take(t, mac1, secret1)
	r.post(t, pathFinished, session, installer.Finished{}, nil)
	if status := r.post(t, pathReport, session, installer.Report{Sequence: 1, Progress: host.Progress{Step: "late"}, Lines: []string{"last"}}, nil); status != 200 {
		t.Errorf("report: status %d, want 200", status)
	}
	if got := r.logged(t, mac1, 1); !slices.Equal(got, []string{"last"}) {
		t.Errorf("lines = %q, want the last one", got)
	}
	if p := r.get(t, mac1).Progress; p != (host.Progress{}) {
		t.Errorf("progress = %+v, want none", p)
	}
}

func TestLinesAreBounded(t *testing.T) {
	var a agents
	flood := make([]string, 2*lineBurst)
	for i := range flood {
		flood[i] = fmt.Sprint(i)
	}
	if got := a.admit(mac1, flood, t0); len(got) != lineBurst {
		t.Errorf("%d lines at once, want %d", len(got), lineBurst)
	}
	if got := a.admit(mac1, []string{"more"}, t0); len(got) != 0 {
		t.Errorf("%q got through a full bucket", got)
	}
	got := a.admit(mac1, []string{"later"}, t0.Add(time.Second))
	if want := []string{fmt.Sprintf("(%d lines were dropped: too many at once)", lineBurst+1), "later"}; !slices.Equal(got, want) {
		t.Errorf("after a second: %q, want %q", got, want)
	}
	if got := a.admit(mac2, []string{"other"}, t0); !slices.Equal(got, []string{"other"}) {
		t.Errorf("another machine: %q, want its line", got)
	}
}

func TestAgentsAreForgotten(t *testing.T) {
	var a agents
	for i := range 100 {
		a.of(host.MAC{2, 0, 0, 0, 0, byte(i)}, t0)
	}
	for i := range 200 {
		a.of(host.MAC{2, 0, 0, 0, 1, byte(i)}, t0.Add(2*agentForgotten))
	}
	if len(a.last) > 200 {
		t.Errorf("%d agents are remembered, want those that spoke lately", len(a.last))
	}
}

func TestNoticesAreBounded(t *testing.T) {
	r := newRig(t)
	for range 5 {
		r.notice(mac1, "agent", "knock")
	}
	r.pass(noticeEvery)
	r.notice(mac1, "agent", "knock")
	if got := r.events(t, mac1, host.KindNotice); len(got) != 2 {
		t.Errorf("%d notices, want one in %s", len(got), noticeEvery)
	}
}

func TestToldRemembersTheLast(t *testing.T) {
	var told told
	for _, step := range []struct {
		mac  host.MAC
		what string
		want bool
	}{{mac1, "a", true}, {mac1, "a", false}, {mac2, "a", true}, {mac1, "b", true}, {mac1, "a", true}} {
		if got := told.changed(step.mac, step.what); got != step.want {
			t.Errorf("changed(%s, %s) = %v, want %v", step.mac, step.what, got, step.want)
		}
	}
}
