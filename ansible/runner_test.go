package ansible

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
)

// serve returns a runner on a simulated cluster with one machine.
func serve(t *testing.T, cfg Config, c *nomadtest.Client) *Runner {
	t.Helper()
	s := nomadtest.NewServer()
	t.Cleanup(s.Close)
	cluster, err := nomad.New(nomad.Config{Address: s.URL, Servers: []string{"127.0.0.1:4647"}}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cluster.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.Join(c))
	return &Runner{Nomad: cluster, Config: cfg}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func show(all []Outcome) string {
	var b strings.Builder
	for _, o := range all {
		fmt.Fprintf(&b, "%s %s failure %q recap %+v\n  %s\n", o.Job, o.Playbook, o.Failure, o.Recap, strings.Join(o.Log, "\n  "))
	}
	return b.String()
}

// recapOf is what Ansible writes for one task on one host.
func recapOf(totals, result string) string {
	return `{"plays":[{"play":{"name":"p"},"tasks":[{"task":{"name":"t"},"hosts":{"node1":` + result + `}}]}],"stats":{"node1":` + totals + "}}\n"
}

func TestOutcomes(t *testing.T) {
	fine := recapOf(`{"ok":1,"changed":1}`, `{"changed":true}`)
	for _, tt := range []struct {
		name   string
		task   func(context.Context, nomadtest.Task) nomadtest.Exit
		cfg    Config
		fails  string // empty: it succeeds
		recap  bool
		in     string // its log
		absent string
	}{
		{name: "changed", task: writes(fine, "", 0), recap: true, in: "changed: [node1] p: t"},
		{name: "warnings around the recap", task: writes("[WARNING]: old\n{not json\n"+fine+"bye\n", "", 0), recap: true, in: "recap: ok=1 changed=1"},
		{name: "no recap", task: writes("hello\n", "", 0), in: "its exit code says that it has succeeded; what it changed is not known: it left no recap"},
		{name: "nothing at all", task: writes("", "", 0), in: "it left no recap"},
		{name: "cut off", task: writes(fine[:60], "", 0), in: "it left no recap: it was cut off", absent: "plays"},
		{name: "failed without a recap", task: writes("", "sh: out of memory\n", 3), fails: "playbook base.yml: task ansible has failed: exit code 3; its last line: sh: out of memory", in: "ansible stderr: sh: out of memory"},
		{name: "an error of Ansible's", task: writes("", "ERROR! Syntax Error while loading YAML.\n  hint\n", 4), fails: "exit code 4: Syntax Error while loading YAML."},
		{name: "missing playbook", task: writes("", "ERROR! the playbook: base.yml could not be found\n", 1), fails: "there is no such playbook in this commit"},
		{name: "not in the inventory", task: writes("", "ERROR! Specified inventory, host pattern and/or --limit leaves us with no hosts to target.\n", 1), fails: "the inventory does not have this host"},
		{
			name: "failed, with differences", recap: true, absent: "hunter2", fails: `task "t" of play "p" failed: no route`,
			task: writes(recapOf(`{"failures":1}`, `{"failed":true,"msg":"no route","diff":[{"after":"hunter2"}]}`), "", 2),
		},
		{name: "failed in spite of its exit code", recap: true, fails: "did not reach the host: gone", task: writes(recapOf(`{"unreachable":1}`, `{"unreachable":true,"msg":"gone"}`), "", 0)},
		{
			name: "no image", fails: "the registry has no image of this commit: publish it with provision config publish",
			task: func(context.Context, nomadtest.Task) nomadtest.Exit {
				return nomadtest.Exit{Err: "Failed to pull `r/a:c`: Error response from daemon: manifest for r/a:c not found: manifest unknown: manifest unknown"}
			},
		},
		{
			name: "no end", cfg: Config{Deadline: time.Second}, fails: "it did not end within 1s (its task is running) and was stopped",
			task: func(ctx context.Context, task nomadtest.Task) nomadtest.Exit {
				<-ctx.Done()
				return nomadtest.Exit{Code: 143}
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := tt.cfg
			cfg.Driver, cfg.Directory = RawExec, "/srv"
			r := serve(t, cfg, &nomadtest.Client{Name: "node1", Task: tt.task})
			run := Run{Attempt: "a", Commit: "c1", Playbooks: []string{"base.yml"}}
			// The second time it finds what became of the first.
			for range 2 {
				got, err := r.Run(within(t), Target{Host: "node1"}, run)
				if (err == nil) != (tt.fails == "") || err != nil && (!errors.Is(err, nomad.ErrJob) || !strings.Contains(err.Error(), tt.fails)) {
					if tt.name == "no end" && err != nil && strings.Contains(err.Error(), "somebody stopped it") {
						continue
					}
					t.Fatalf("Run: %v, want %q\n%s", err, tt.fails, show(got))
				}
				if len(got) != 1 || (got[0].Recap != nil) != tt.recap || got[0].Job != "provision-node1-a-1" || (got[0].Failure == "") != (err == nil) {
					t.Fatalf("outcomes:\n%s", show(got))
				}
				if !strings.Contains(show(got), tt.in) || tt.absent != "" && strings.Contains(show(got)+fmt.Sprint(err), tt.absent) {
					t.Errorf("want %q and not %q in\n%s", tt.in, tt.absent, show(got))
				}
			}
		})
	}
}

// writes is a task that writes and ends.
func writes(stdout, stderr string, code int) func(context.Context, nomadtest.Task) nomadtest.Exit {
	return func(_ context.Context, task nomadtest.Task) nomadtest.Exit {
		io.WriteString(task.Stdout, stdout)
		io.WriteString(task.Stderr, stderr)
		return nomadtest.Exit{Code: code}
	}
}

func TestPlaybooksInOrder(t *testing.T) {
	var ran []string
	r := serve(t, Config{Driver: RawExec, Directory: "/srv", ARA: ARA{Server: "http://ara.example/", Plugins: "/opt/ara"}}, &nomadtest.Client{
		Name: "node1", Task: func(_ context.Context, task nomadtest.Task) nomadtest.Exit {
			ran = append(ran, task.Env["NOMAD_META_ANSIBLE_PLAYBOOK"])
			for key, want := range map[string]string{
				"NOMAD_META_COMMIT": "c1", "NOMAD_META_rack": "a1", "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
				"ARA_API_SERVER": "http://ara.example/", "ARA_DEFAULT_LABELS": task.Job, "ANSIBLE_CALLBACK_PLUGINS": "/opt/ara/callback",
			} {
				if task.Env[key] != want {
					t.Errorf("%s=%q, want %q", key, task.Env[key], want)
				}
			}
			code := len(ran) / 2 * 2
			return writes(recapOf(fmt.Sprintf(`{"ok":1,"failures":%d}`, len(ran)/2), `{"failed":true,"msg":"m"}`), "", code)(context.Background(), task)
		},
	})
	var heard []string
	got, err := r.Run(within(t), Target{Host: "node1", Meta: map[string]string{"rack": "a1"}}, Run{
		Attempt: "x", Commit: "c1", Playbooks: []string{"one.yml", "two.yml", "three.yml"},
		Done: func(o Outcome) { heard = append(heard, o.Playbook) },
	})
	if !errors.Is(err, nomad.ErrJob) || strings.Join(ran, " ") != "one.yml two.yml" || strings.Join(heard, " ") != "one.yml two.yml" {
		t.Errorf("ran %q, heard of %q: %v", ran, heard, err)
	}
	end := time.Now()
	c := Record("c1", got, end)
	if c.Commit != "c1" || !c.Ended.Equal(end) || c.Totals() != (host.Totals{OK: 2, Failed: 1}) || !strings.Contains(c.Failure, "playbook two.yml") || len(c.Playbooks) != 2 {
		t.Errorf("record %+v", c)
	}
	if p := c.Playbooks[1]; p.Job != "provision-node1-x-2" || !p.Recap || p.Page != "http://ara.example/?label=provision-node1-x-2" {
		t.Errorf("played %+v", p)
	}
}

func TestWithoutPlaybooks(t *testing.T) {
	r := serve(t, Config{}, &nomadtest.Client{Name: "node1"})
	got, err := r.Run(within(t), Target{Host: "node1"}, Run{Attempt: "a"})
	if err != nil || len(got) != 1 || got[0].Job != "provision-node1-a" || got[0].Recap != nil || len(got[0].Log) != 1 {
		t.Errorf("Run: %v\n%s", err, show(got))
	}
}

func TestNoCommit(t *testing.T) {
	r := &Runner{Config: Config{Image: "registry.example/ansible"}}
	if _, err := r.Run(t.Context(), Target{Host: "node1"}, Run{Attempt: "a", Playbooks: []string{"base.yml"}}); !errors.Is(err, ErrNoCommit) {
		t.Errorf("Run: %v, want ErrNoCommit", err)
	}
}

// A template of the operator's own that knows nothing of checks would change the
// host.
func TestCheckMustBeOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "job.hcl")
	text := `job {{ quote .Job }} {
  type = "sysbatch"
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
        args    = [{{ quote .Playbook }}%s]
      }
    }
  }
}
`
	r := serve(t, Config{Playbooks: []string{"x.yml"}}, &nomadtest.Client{Name: "node1", Task: writes(recapOf(`{"ok":1}`, `{}`), "", 0)})
	for i, tt := range []struct{ more, want string }{{"", "does not look at .Check"}, {`{{ if .Check }}, "--check"{{ end }}`, ""}, {"{{ .Chekc }}", "Chekc"}, {`{{ if .Check }}, "{{ end }}`, "correct the template"}} {
		if err := os.WriteFile(file, fmt.Appendf(nil, text, tt.more), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := r.Run(within(t), Target{Host: "node1", Template: file}, Run{Attempt: fmt.Sprint(i), Playbooks: []string{"x.yml"}, Check: true})
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !errors.Is(err, nomad.ErrJob)) {
			t.Errorf("%q: %v, want %q", tt.more, err, tt.want)
		}
	}
}

func TestStop(t *testing.T) {
	running := make(chan struct{})
	r := serve(t, Config{Driver: RawExec, Directory: "/srv"}, &nomadtest.Client{
		Name: "node1", Task: func(ctx context.Context, _ nomadtest.Task) nomadtest.Exit {
			close(running)
			<-ctx.Done()
			return nomadtest.Exit{Code: 143}
		},
	})
	run := Run{Attempt: "a", Playbooks: []string{"x.yml", "y.yml"}}
	ended := make(chan error, 1)
	go func() {
		_, err := r.Run(within(t), Target{Host: "node1"}, run)
		ended <- err
	}()
	<-running
	if err := r.Stop(within(t), "node1", run); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, nomad.ErrJob) || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("Run of what was stopped: %v", err)
	}
}
