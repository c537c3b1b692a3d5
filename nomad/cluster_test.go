package nomad

import (
	"context"
	"errors"
	"log/slog"
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

// connect makes a quick client of a simulated cluster that runs until the test
// ends.
func connect(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	return connectAt(t, cfg, quick)
}

func connectAt(t *testing.T, cfg Config, p pace) *Cluster {
	t.Helper()
	c, err := New(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	c.pace = p
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
	c := connect(t, testConfig(s))
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

// An appliance that was killed finds the job that it started, and does not
// start it again; nor does it run a finished one again.
func TestRunJobOnce(t *testing.T) {
	s := serve(t, &nomadtest.Server{})
	first, second := connect(t, testConfig(s)), connect(t, testConfig(s))
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
	c := connect(t, testConfig(s))
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
