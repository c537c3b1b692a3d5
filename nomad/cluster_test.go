package nomad

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"provision.internal/nomad/nomadtest"
)

// quick lets faults that last seconds in the field last as long as a test bears.
var quick = pace{
	firstBeat: 300 * time.Millisecond,
	silence:   600 * time.Millisecond,
	relist:    200 * time.Millisecond,
	backoff:   10 * time.Millisecond,
	exchange:  5 * time.Second,
}

func testConfig(s *nomadtest.Server) Config {
	return Config{Address: s.URL, Servers: []string{"10.0.0.2:4647"}}
}

// connect makes a client of s that runs until the test ends.
func connect(t *testing.T, s *nomadtest.Server, cfg Config) *Cluster {
	t.Helper()
	c, err := New(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	c.pace = quick
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v after being asked to stop, want nil", err)
		}
	})
	return c
}

func serve(t *testing.T, s *nomadtest.Server) *nomadtest.Server {
	t.Helper()
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// within bounds a test that would otherwise hang; nothing is timed by it.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestRunJobSucceeds(t *testing.T) {
	s := serve(t, &nomadtest.Server{})
	c := connect(t, s, testConfig(s))
	var seen sync.Map
	for _, name := range []string{"host1", "host2"} {
		t.Cleanup(s.Join(&nomadtest.Client{Name: name, Task: func(_ context.Context, task nomadtest.Task) nomadtest.Exit {
			seen.Store(name, task.Env["NOMAD_META_role"])
			_, _ = task.Stdout.Write([]byte("\x1b[1mchanged\x1b[0m\nall done\n"))
			return nomadtest.Exit{}
		}}))
	}
	if _, err := c.WaitNode(within(t), "host1"); err != nil {
		t.Fatal(err)
	}
	var progress []string
	got, err := c.RunJob(within(t), Job{Host: "host2", Role: "worker", Attempt: "g1", Progress: func(text string) { progress = append(progress, text) }})
	if err != nil {
		t.Fatalf("RunJob: %v", err)
	}
	if got.JobID != "provision-host2-g1" {
		t.Errorf("job ID %q, want provision-host2-g1", got.JobID)
	}
	if role, _ := seen.Load("host2"); role != "worker" {
		t.Errorf("the task saw role %v, want worker", role)
	}
	if _, ran := seen.Load("host1"); ran {
		t.Error("the job for host2 ran on host1")
	}
	if len(got.Logs) != 1 || !slices.Equal(got.Logs[0].Lines, []string{"[1mchanged[0m", "all done"}) {
		t.Errorf("logs = %+v, want the two lines without escapes", got.Logs)
	}
	if len(progress) == 0 {
		t.Error("no progress was told")
	}
}

func TestRunJobEnds(t *testing.T) {
	exit := func(code int, text string) func(context.Context, nomadtest.Task) nomadtest.Exit {
		return func(_ context.Context, task nomadtest.Task) nomadtest.Exit {
			_, _ = task.Stderr.Write([]byte(text))
			return nomadtest.Exit{Code: code}
		}
	}
	hang := func(ctx context.Context, _ nomadtest.Task) nomadtest.Exit {
		<-ctx.Done()
		return nomadtest.Exit{Code: 137}
	}
	job := func(kind, more string) string {
		return "job \"x\" {\n type = \"" + kind + "\"\n" + more + "\n}"
	}
	task := func(config string) string {
		return "group \"g\" {\n task \"t\" {\n driver = \"raw_exec\"\n config {\n" + config + "\n}\n}\n}"
	}
	rack1 := "constraint {\n attribute = \"${meta.rack}\"\n value = \"r1\"\n}\n" + task("")
	for _, test := range []struct {
		name   string
		job    string // template; the embedded one when empty
		task   func(context.Context, nomadtest.Task) nomadtest.Exit
		during func(*nomadtest.Server)
		want   string // of the reason
		last   string // of the log
	}{
		{name: "exit code", task: exit(2, "no such package\n"), want: "task configure has failed: exit code 2", last: "no such package"},
		{name: "driver", task: func(context.Context, nomadtest.Task) nomadtest.Exit {
			return nomadtest.Exit{Err: "fork/exec: no such file"}
		}, want: "fork/exec: no such file"},
		{name: "shell default in the configuration",
			job:  job("sysbatch", task(`args = ["$${A:-x}"]`)),
			want: "task t has failed: failed to parse config"},
		{name: "unplaced sysbatch", job: job("sysbatch", rack1),
			want: "cannot be placed: 1 nodes are filtered by ${meta.rack} = r1"},
		{name: "unplaced batch", job: job("batch", rack1),
			want: "cannot be placed: 1 nodes are filtered by ${meta.rack} = r1"},
		{name: "no such datacenter", job: job("sysbatch", "datacenters = [\"mars\"]\n"+task("")),
			want: "no ready node is in its datacenters and node pool"},
		{name: "service", job: job("service", task("")), want: "never ends"},
		{name: "parameterized", job: job("batch", "parameterized {}\n"+task("")), want: "would not run"},
		{name: "no group", job: job("batch", ""), want: "no group"},
		{name: "unclosed", job: `job "x" {`, want: "Unclosed configuration block"},
		{name: "node down", task: hang, during: func(s *nomadtest.Server) { s.Lose("host1") }, want: "the node went down"},
		{name: "empty group", job: job("batch", `group "g" {}`), want: "Missing tasks"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, &nomadtest.Server{})
			cfg := testConfig(s)
			if test.job != "" {
				cfg.Job = filepath.Join(t.TempDir(), "job.hcl")
				if err := os.WriteFile(cfg.Job, []byte(test.job), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := connect(t, s, cfg)
			t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Task: test.task}))
			running := func(text string) {
				if test.during != nil && strings.Contains(text, "runs") {
					go func() {
						waitRunning(t, c)
						test.during(s)
					}()
				}
			}
			got, err := c.RunJob(within(t), Job{Host: "host1", Attempt: "g1", Progress: running})
			if !errors.Is(err, ErrJob) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("RunJob: %v, want ErrJob with %q", err, test.want)
			}
			if last := Last(got.Logs); !strings.Contains(last, test.last) {
				t.Errorf("last line %q, want %q", last, test.last)
			}
			// A second appliance, or the same after a restart, hears the same.
			if _, again := c.RunJob(within(t), Job{Host: "host1", Attempt: "g1"}); !errors.Is(again, ErrJob) {
				t.Errorf("RunJob of the same attempt: %v, want ErrJob", again)
			}
		})
	}
}

// waitRunning waits until the one allocation runs.
func waitRunning(t *testing.T, c *Cluster) {
	for {
		allocs, _, err := c.api.Jobs().Allocations("provision-host1-g1", true, query(t.Context()))
		if err != nil {
			return // the test is over
		}
		for _, a := range allocs {
			if a.ClientStatus == "running" {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// An appliance that was killed finds the job that it started, and does not
// start it again; nor does it run a finished one again.
func TestRunJobOnce(t *testing.T) {
	s := serve(t, &nomadtest.Server{})
	first, second := connect(t, s, testConfig(s)), connect(t, s, testConfig(s))
	var runs atomic.Int32
	release := make(chan struct{})
	started := make(chan struct{})
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Task: func(context.Context, nomadtest.Task) nomadtest.Exit {
		if runs.Add(1) == 1 {
			close(started)
		}
		<-release
		return nomadtest.Exit{}
	}}))
	killed, kill := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := first.RunJob(killed, Job{Host: "host1", Attempt: "g1"})
		gone <- err
	}()
	<-started
	kill()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatalf("RunJob of the killed appliance: %v, want context.Canceled", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	for range 2 {
		if _, err := second.RunJob(within(t), Job{Host: "host1", Attempt: "g1"}); err != nil {
			t.Fatalf("RunJob after a restart: %v", err)
		}
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("the task ran %d times, want once", n)
	}
	if _, err := second.RunJob(within(t), Job{Host: "host1", Attempt: "g2"}); err != nil || runs.Load() != 2 {
		t.Errorf("RunJob of a new attempt: %v after %d runs, want nil after 2", err, runs.Load())
	}
}

func TestStopJob(t *testing.T) {
	s := serve(t, &nomadtest.Server{})
	c := connect(t, s, testConfig(s))
	started, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Task: func(ctx context.Context, _ nomadtest.Task) nomadtest.Exit {
		close(started)
		<-ctx.Done()
		close(stopped)
		return nomadtest.Exit{Code: 137}
	}}))
	result := make(chan error)
	go func() {
		_, err := c.RunJob(within(t), Job{Host: "host1", Attempt: "g1"})
		result <- err
	}()
	<-started
	if err := c.StopJob(within(t), "provision-host1-g1"); err != nil {
		t.Fatal(err)
	}
	<-stopped
	if err := <-result; !errors.Is(err, ErrJob) || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("RunJob of a stopped job: %v, want ErrJob that says so", err)
	}
	if err := c.StopJob(within(t), "provision-host9-none"); err != nil {
		t.Errorf("StopJob of an unknown job: %v, want nil", err)
	}
}
