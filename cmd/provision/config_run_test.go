package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"provision.internal/ansible"
	"provision.internal/golden"
	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/store"
	"provision.internal/upkeep"
	"provision.internal/web"
)

// plays is a runner whose playbooks do as their names say: change.yml changes,
// bad.yml fails, slow.yml takes a moment, hang.yml ends when it is stopped.
type plays struct{}

func newTestUpkeep(st *store.Store) (*upkeep.Manager, error) {
	target := func(h host.Host) upkeep.Target {
		return upkeep.Target{
			Target: ansible.Target{Host: h.Name, Role: h.Role}, MAC: h.MAC, Playbooks: []string{"base.yml"}, Configuration: h.Configuration,
		}
	}
	return upkeep.New(upkeep.Parts{
		Store: st, Runner: plays{}, Log: slog.New(slog.DiscardHandler),
		Config: ansible.Config{Commit: "first", Playbooks: []string{"base.yml"}},
		Targets: func() (all []upkeep.Target) {
			for _, h := range st.Hosts() {
				if h.State == host.Ready {
					all = append(all, target(h))
				}
			}
			return all
		},
		Target: func(name string) (upkeep.Target, bool) {
			h, err := st.Named(name)
			return target(h), err == nil && h.State == host.Ready
		},
	})
}

func serveBoth(ctx context.Context, srv *web.Server, keep *upkeep.Manager) error {
	var g errgroup.Group
	g.Go(func() error { return srv.Run(ctx) })
	g.Go(func() error { return keep.Run(ctx) })
	return g.Wait()
}

func (plays) Run(ctx context.Context, t ansible.Target, run ansible.Run) (all []ansible.Outcome, err error) {
	for i, p := range run.Playbooks {
		run.Progress(p, "the playbook runs")
		o := ansible.Outcome{Playbook: p, Job: fmt.Sprintf("provision-%s-%s-%d", t.Host, run.Attempt, i), Recap: &ansible.Recap{
			Hosts: map[string]host.Totals{t.Host: {OK: 4}},
		}}
		switch p {
		case "change.yml":
			o.Recap.Hosts[t.Host] = host.Totals{OK: 4, Changed: 1}
			o.Recap.Changes = []ansible.Change{{Play: "base", Task: "write the motd", Host: t.Host}}
		case "bad.yml":
			o.Failure = "chrony: no such package"
			err = fmt.Errorf("%w: %s", nomad.ErrJob, o.Failure)
		case "slow.yml":
			time.Sleep(200 * time.Millisecond)
		case "hang.yml":
			<-ctx.Done()
			return all, context.Cause(ctx)
		}
		all = append(all, o)
		run.Done(o)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func (plays) Stop(context.Context, string, ansible.Run) error { return nil }

// exampleBoard is a run of six hosts, 12 s after its beginning.
func exampleBoard(check bool) (*board, []string) {
	b := newBoard()
	run := host.Run{
		ID: "20260301-120000-412", Commit: "4f2a9c1d00e85b7a6c1f0d2e3b4a5968778695a4", Check: check, Began: began, Of: 6, Parallel: 3,
		Hosts: []string{"core", "node1", "node2", "node3", "node4", "node5"},
	}
	var lines []string
	add := func(u web.RunUpdate) {
		if line := b.add(u, began.Add(12*time.Second), false); line != "" {
			lines = append(lines, line)
		}
	}
	add(web.RunUpdate{Run: &run})
	at := func(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }
	for _, r := range []host.Row{
		{Host: "core", Result: host.ResultOK, Playbook: "nomad.yml", Totals: host.Totals{OK: 31}, Began: at(0.1), Ended: at(4.2)},
		{Host: "node1", Result: host.ResultRunning, Playbook: "nomad.yml", Reason: "the playbook runs", Began: at(0.1)},
		{Host: "node2", Result: host.ResultChanged, Playbook: "nomad.yml", Totals: host.Totals{OK: 28, Changed: 2}, Began: at(0.1), Ended: at(9.9),
			Changes: []string{"base: write the motd", "base: sshd keys"}, Drift: []string{"base: sshd keys"}},
		{Host: "node3", Result: host.ResultFailed, Playbook: "base.yml", Reason: "chrony: no \x1b[31msuch package", Began: at(4.3), Ended: at(10.4)},
		{Host: "node4", Result: host.ResultRunning, Playbook: "base.yml", Reason: "the playbook runs", Began: at(9.9)},
		{Host: "node5", Result: host.ResultWaiting, Reason: "run 20260301-115900-077 is on it"},
	} {
		r.Run = run.ID
		add(web.RunUpdate{Row: &r})
	}
	return b, lines
}

func TestRunFrames(t *testing.T) {
	b, lines := exampleBoard(false)
	golden.Check(t, "frames/run-lines.txt", strings.Join(lines, "\n")+"\n")
	golden.Check(t, "frames/run.txt", b.frame(after(12)))
	b.run.Ended, b.run.Tally = began.Add(34*time.Second), map[host.Result]int{host.ResultOK: 4, host.ResultChanged: 1, host.ResultFailed: 1}
	golden.Check(t, "frames/run-summary.txt", b.summary(false))
	b, lines = exampleBoard(true)
	golden.Check(t, "frames/run-check.txt", strings.Join(lines, "\n")+"\n"+b.frame(after(12)))
}

// No frame is wider or higher than the terminal, whatever its size.
func TestRunFrameFits(t *testing.T) {
	b, _ := exampleBoard(false)
	for n := range 300 {
		name := fmt.Sprintf("rack%03d", n)
		b.run.Hosts = append(b.run.Hosts, name)
		b.rows[name] = host.Row{Host: name, Result: host.ResultRunning, Playbook: strings.Repeat("long", 30), Began: began}
	}
	run := b.run
	run.Of = len(run.Hosts)
	b.add(web.RunUpdate{Run: &run}, began, false)
	for width := 40; width < 130; width += 9 {
		for height := 8; height < 50; height += 7 {
			v := after(12)
			v.width, v.height, v.note = width, height, "the daemon is away, waiting for it: "+strings.Repeat("x", 100)
			lines := strings.Split(strings.TrimSuffix(b.frame(v), "\n"), "\n")
			if len(lines) > height-1 {
				t.Errorf("%dx%d: the frame has %d lines", width, height, len(lines))
			}
			for _, l := range lines {
				if n := utf8.RuneCountInString(l); n > width {
					t.Errorf("%dx%d: a line has %d characters: %q", width, height, n, l)
				}
			}
		}
	}
}

func TestConfigStatusTable(t *testing.T) {
	now := began.Add(3 * time.Hour)
	st := upkeep.Status{
		Upkeep: host.Upkeep{Commit: "4f2a9c1d00e85b7a6c1f0d2e3b4a5968778695a4", Next: now.Add(time.Hour)}, Every: 6 * time.Hour,
		Runs: []host.Run{{ID: "20260301-145900-077", Began: now.Add(-time.Minute), Tally: map[host.Result]int{host.ResultRunning: 1, host.ResultOK: 2}}},
		Hosts: []upkeep.HostStatus{
			{Host: "core", Commit: "4f2a9c1d00e85b7a6c1f0d2e3b4a5968778695a4", When: began, Result: host.ResultOK, Drift: upkeep.DriftNone},
			{Host: "node1", Commit: "old", When: began, Result: host.ResultFailed, Reason: "chrony: no such package"},
			{Host: "node2", Commit: "4f2a9c1d00e85b7a6c1f0d2e3b4a5968778695a4", When: began, Result: host.ResultChanged, Totals: host.Totals{Changed: 2},
				Drift: upkeep.DriftCorrected, Changes: []string{"base: sshd keys"}, Drifted: []string{"base: sshd keys"}, Running: "20260301-145900-077"},
			{Host: "node3", Missed: "wait for node node3: the node is down; it was waited for 1m0s"},
		},
	}
	text := func() string {
		return statusTable(st, now, 0, false) + statusDetail(st.Hosts[2], false) + scheduleText(st, now, false)
	}
	golden.Check(t, "frames/config-status.txt", text())
	st.Paused, st.PausedBy, st.PausedUntil, st.Runs = true, "ann", now.Add(90*time.Minute), nil
	golden.Check(t, "frames/config-paused.txt", scheduleText(st, now, false))
	if _, err := chosenHosts(st.Hosts, []string{"node9"}); !errors.Is(err, host.ErrUnknown) {
		t.Errorf("chosenHosts(node9): %v", err)
	}
}
