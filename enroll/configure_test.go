package enroll

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
)

// played is what Ansible writes of one task on host1.
func played(totals, result string) string {
	return `{"plays":[{"play":{"name":"p"},"tasks":[{"task":{"name":"install"},"hosts":{"host1":` + result + `}}]}],"stats":{"host1":` + totals + "}}\n"
}

// A host is configured by its playbooks in order; their recaps are kept on it,
// also those of a run that fails.
func TestPlaybooks(t *testing.T) {
	for _, tt := range []struct {
		name, second, failure string
		code                  int
		state                 host.State
		sum                   host.Totals
	}{
		{"all succeed", played(`{"ok":2}`, `{}`), "", 0, host.Ready, host.Totals{OK: 3, Changed: 1}},
		{
			"the second fails", played(`{"ok":1,"failures":1}`, `{"failed":true,"msg":"no space"}`),
			`playbook two.yml: task "install" of play "p" failed: no space`, 2, host.Failed, host.Totals{OK: 2, Changed: 1, Failed: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, m := cluster(t), newMemory()
			var turns atomic.Int32
			start(t, s, m, func(r *Reconciler) {
				r.Runner = &ansible.Runner{Nomad: r.Nomad, Config: ansible.Config{Driver: ansible.RawExec, Directory: "/srv"}}
				r.Order = func(h host.Host) (ansible.Target, ansible.Run) {
					return ansible.Target{Host: h.Name}, ansible.Run{Commit: "c1", Playbooks: []string{"one.yml", "two.yml"}}
				}
				r.Turn = func(context.Context, string) (func(), error) {
					turns.Add(1)
					return func() { turns.Add(-1) }, nil
				}
			})
			m.put(t, booted(1))
			t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Task: func(_ context.Context, task nomadtest.Task) nomadtest.Exit {
				if turns.Load() != 1 {
					t.Errorf("%d hold the host's turn while it is configured, want one", turns.Load())
				}
				if task.Env["NOMAD_META_ANSIBLE_PLAYBOOK"] == "one.yml" {
					fmt.Fprint(task.Stdout, played(`{"ok":1,"changed":1}`, `{"changed":true}`))
					return nomadtest.Exit{}
				}
				fmt.Fprint(task.Stdout, tt.second)
				return nomadtest.Exit{Code: tt.code}
			}}))
			h := m.await(t, mac(1), in(tt.state))
			c := h.Configuration
			if c == nil || c.Commit != "c1" || c.Ended.IsZero() || c.Totals() != tt.sum || len(c.Playbooks) != 2 || !strings.Contains(c.Failure, tt.failure) || (c.Failure == "") != (tt.failure == "") {
				t.Fatalf("%+v, want the sums %+v and failure %q", c, tt.sum, tt.failure)
			}
			if h.Failure != nil && (!strings.Contains(h.Failure.Reason, tt.failure) || !strings.Contains(h.Failure.Reason, "provision logs host1")) {
				t.Errorf("reason %q", h.Failure.Reason)
			}
			for _, want := range []string{"one.yml: changed: [host1] p: install", "two.yml: recap: ok="} {
				if log := strings.Join(m.lines[mac(1)], "\n"); !strings.Contains(log, want) {
					t.Errorf("log lacks %q:\n%s", want, log)
				}
			}
			if turns.Load() != 0 {
				t.Error("the host's turn was not given back")
			}
		})
	}
}

// The first commit may be published after the first hosts have come.
func TestWaitsForACommit(t *testing.T) {
	s, m := cluster(t), newMemory()
	var commit atomic.Value
	commit.Store("")
	published := make(chan struct{})
	start(t, s, m, func(r *Reconciler) {
		r.Tick = time.Hour // what is published wakes it
		r.OrderChanged = func() <-chan struct{} { return published }
		r.Runner = &ansible.Runner{Nomad: r.Nomad, Config: ansible.Config{Image: "registry.example/a"}}
		r.Order = func(h host.Host) (ansible.Target, ansible.Run) {
			return ansible.Target{Host: h.Name}, ansible.Run{Commit: commit.Load().(string), Playbooks: []string{"one.yml"}}
		}
	})
	m.put(t, booted(1))
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Drivers: []string{ansible.Docker}}))
	m.await(t, mac(1), func(h host.Host) bool {
		return h.State == host.Joined && strings.Contains(h.Progress.Text, ansible.ErrNoCommit.Error())
	})
	commit.Store("c1")
	close(published)
	h := m.await(t, mac(1), in(host.Ready))
	if want := (nomad.Job{Host: "host1"}).ID(); h.Configuration == nil || !strings.HasPrefix(h.Configuration.Playbooks[0].Job, want) {
		t.Errorf("%+v", h.Configuration)
	}
}
