package enroll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
	"provision.internal/store"
)

// The real store is what the reconciler is made for.
var _ Store = (*store.Store)(nil)

func cluster(t *testing.T) *nomadtest.Server {
	t.Helper()
	s := nomadtest.NewServer()
	t.Cleanup(s.Close)
	return s
}

// start runs a reconciler until the test, or the returned function, ends it.
func start(t *testing.T, s *nomadtest.Server, st Store, more ...func(*Reconciler)) (stop func()) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	c, err := nomad.New(nomad.Config{Address: s.URL, Servers: []string{"10.0.0.2:4647"}}, log)
	if err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{Store: st, Nomad: c, Log: log, Tick: 100 * time.Millisecond, Grace: time.Nanosecond}
	for _, f := range more {
		f(r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v after being asked to stop, want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func TestToReady(t *testing.T) {
	s, m := cluster(t), newMemory()
	var meta atomic.Value
	start(t, s, m, func(r *Reconciler) {
		r.Order = func(h host.Host) (ansible.Target, ansible.Run) {
			return ansible.Target{Host: h.Name, Meta: map[string]string{"COMMIT": "of " + h.Name}}, ansible.Run{}
		}
	})
	m.put(t, booted(1))
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", ID: "7a780c47-390f-e4db-6dd9-10096b4b2ac9", Task: func(_ context.Context, task nomadtest.Task) nomadtest.Exit {
		meta.Store(task.Env["NOMAD_META_COMMIT"])
		fmt.Fprintln(task.Stdout, "ok=12 changed=3")
		return nomadtest.Exit{}
	}}))
	h := m.await(t, mac(1), in(host.Ready))
	if h.Node != "7a780c47-390f-e4db-6dd9-10096b4b2ac9" {
		t.Errorf("node %q was stored, want the client's ID", h.Node)
	}
	want := []host.State{host.Booted, host.Joined, host.Configured, host.Ready}
	if !slices.Equal(m.steps[mac(1)], want) {
		t.Errorf("the host went %v, want %v", m.steps[mac(1)], want)
	}
	if got := meta.Load(); got != "of host1" {
		t.Errorf("the job saw COMMIT=%v, want \"of host1\"", got)
	}
	if want := []string{"configure stdout: ok=12 changed=3"}; !slices.Equal(m.lines[mac(1)], want) {
		t.Errorf("log %q, want %q", m.lines[mac(1)], want)
	}
}

func TestFailingJob(t *testing.T) {
	s, m := cluster(t), newMemory()
	start(t, s, m)
	m.put(t, booted(1))
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Task: func(_ context.Context, task nomadtest.Task) nomadtest.Exit {
		fmt.Fprintln(task.Stderr, "no route to the mirror")
		return nomadtest.Exit{Code: 4}
	}}))
	h := m.await(t, mac(1), in(host.Failed))
	for _, part := range []string{"task configure has failed: exit code 4", "its last line: no route to the mirror", "provision logs host1"} {
		if !strings.Contains(h.Failure.Reason, part) {
			t.Errorf("reason %q lacks %q", h.Failure.Reason, part)
		}
	}
	if h.Failure.In != host.Joined {
		t.Errorf("failed in %s, want Joined", h.Failure.In)
	}
	if want := []string{"configure stderr: no route to the mirror"}; !slices.Equal(m.lines[mac(1)], want) {
		t.Errorf("log %q, want %q", m.lines[mac(1)], want)
	}
}

func TestUnplacedJob(t *testing.T) {
	s, m := cluster(t), newMemory()
	job := filepath.Join(t.TempDir(), "job.hcl")
	text := "job \"x\" {\n type = \"sysbatch\"\n datacenters = [\"mars\"]\n group \"g\" {\n task \"t\" {\n driver = \"raw_exec\"\n}\n}\n}"
	if err := os.WriteFile(job, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, s, m, func(r *Reconciler) {
		c, err := nomad.New(nomad.Config{Address: s.URL, Servers: []string{"10.0.0.2:4647"}, Job: job}, r.Log)
		if err != nil {
			t.Fatal(err)
		}
		r.Nomad = c
	})
	m.put(t, booted(1))
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1"}))
	h := m.await(t, mac(1), in(host.Failed))
	if want := "cannot be placed: no ready node is in its datacenters"; !strings.Contains(h.Failure.Reason, want) {
		t.Errorf("reason %q lacks %q", h.Failure.Reason, want)
	}
}

func TestDeadlines(t *testing.T) {
	hang := func(ctx context.Context, _ nomadtest.Task) nomadtest.Exit {
		<-ctx.Done()
		return nomadtest.Exit{Code: 137}
	}
	for _, test := range []struct {
		state  host.State
		change func(*host.Host)
		client *nomadtest.Client
		doing  string // the deadline passes while it does this
		want   []string
	}{
		{state: host.Admitted, want: []string{"no machine with its MAC address", "provision enroll host1 again"}},
		{state: host.Admitted, change: func(h *host.Host) {
			h.Deadline = time.Time{}
			h.Grant.Expires = h.Since.Add(time.Hour)
		}, want: []string{"no machine with its MAC address"}},
		{state: host.Installing, change: func(h *host.Host) { h.Progress = host.Progress{Step: "packages", Text: "linux6.1"} },
			want: []string{"did not end (it was at packages: linux6.1)", "provision reinstall host1"}},
		{state: host.Installed, want: []string{"did not report", "boots from the disk"}},
		{state: host.Booted, doing: "waiting", want: []string{"did not become ready", "it has not registered", "sv status nomad"}},
		{state: host.Booted, client: &nomadtest.Client{Name: "host9"}, doing: "waiting", want: []string{"it has not registered"}},
		{state: host.Joined, client: &nomadtest.Client{Name: "host1", Drivers: []string{"docker"}}, doing: "drivers",
			want: []string{"configuration job did not end", "no task driver raw_exec"}},
		{state: host.Joined, client: &nomadtest.Client{Name: "host1", Task: hang}, doing: "runs",
			want: []string{"the configuration job did not end: wait for job provision-host1-grant-00-"}},
	} {
		t.Run(string(test.state), func(t *testing.T) {
			s, m := cluster(t), newMemory()
			var clock atomic.Int64 // ahead of the real one
			start(t, s, m, func(r *Reconciler) {
				r.Now = func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
			})
			h := booted(1)
			h.State, h.Since = test.state, time.Now()
			h.Deadline = h.Since.Add(2 * time.Hour)
			h.Grant.Expires = h.Since.Add(24 * time.Hour)
			if test.change != nil {
				test.change(&h)
			}
			if test.client != nil {
				t.Cleanup(s.Join(test.client))
			}
			m.put(t, h)
			if test.doing != "" {
				// Another host gets through, so that the cluster is known.
				m.put(t, booted(2))
				t.Cleanup(s.Join(&nomadtest.Client{Name: "host2"}))
				m.await(t, mac(2), in(host.Ready))
				m.await(t, mac(1), func(h host.Host) bool { return strings.Contains(h.Progress.Text, test.doing) })
			}
			clock.Store(int64(3 * time.Hour))
			h = m.await(t, mac(1), in(host.Failed))
			for _, part := range append(test.want, "after 3h0m0s in "+string(test.state)) {
				if !strings.Contains(h.Failure.Reason, part) {
					t.Errorf("reason %q lacks %q", h.Failure.Reason, part)
				}
			}
		})
	}
}

// A job that is given up is stopped: it must not go on changing a host that
// counts as failed.
func TestLateJobIsStopped(t *testing.T) {
	s, m := cluster(t), newMemory()
	var clock atomic.Int64
	start(t, s, m, func(r *Reconciler) {
		r.Now = func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
	})
	m.deadlines = map[host.State]time.Duration{host.Joined: time.Hour}
	m.put(t, booted(1))
	started, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Task: func(ctx context.Context, _ nomadtest.Task) nomadtest.Exit {
		close(started)
		<-ctx.Done()
		close(stopped)
		return nomadtest.Exit{Code: 143}
	}}))
	<-started
	clock.Store(int64(2 * time.Hour))
	if h := m.await(t, mac(1), in(host.Failed)); !strings.Contains(h.Failure.Reason, "after 2h0m0s in Joined the configuration job did not end") {
		t.Errorf("reason %q", h.Failure.Reason)
	}
	select {
	case <-stopped:
	case <-time.After(30 * time.Second):
		t.Error("the job goes on")
	}
}

// An operator's retry, which enters Joined anew, runs the job anew.
func TestRetryRunsAnew(t *testing.T) {
	s, m := cluster(t), newMemory()
	start(t, s, m)
	var runs atomic.Int32
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Task: func(context.Context, nomadtest.Task) nomadtest.Exit {
		return nomadtest.Exit{Code: int(2 - runs.Add(1))}
	}}))
	m.put(t, booted(1))
	m.await(t, mac(1), in(host.Failed))
	_, err := m.Change(mac(1), "operator", "retry", func(h *host.Host) (err error) {
		*h, err = h.Advance(host.Booted, time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if h := m.await(t, mac(1), func(h host.Host) bool { return h.State == host.Ready || h.State == host.Failed }); h.State != host.Ready || runs.Load() != 2 {
		t.Errorf("after the retry the host is %s (%+v) and the job ran %d times", h.State, h.Failure, runs.Load())
	}
}

// While the appliance is away no host can meet its deadline, so it gets some
// time after the start.
func TestGraceAfterStart(t *testing.T) {
	s, m := cluster(t), newMemory()
	h := booted(1)
	h.Since = time.Now().Add(-5 * time.Hour)
	h.Deadline = h.Since.Add(time.Hour)
	m.put(t, h)
	start(t, s, m, func(r *Reconciler) { r.Grace = time.Hour })
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1"}))
	m.await(t, mac(1), in(host.Ready))
}

// Killed in the middle of the job, the appliance goes on where the store says
// and does not run the job again.
func TestRestartInTheMiddle(t *testing.T) {
	s, m := cluster(t), newMemory()
	var runs atomic.Int32
	started, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Task: func(context.Context, nomadtest.Task) nomadtest.Exit {
		if runs.Add(1) == 1 {
			close(started)
		}
		<-release
		return nomadtest.Exit{}
	}}))
	stop := start(t, s, m)
	m.put(t, booted(1))
	<-started
	stop()
	start(t, s, m)
	close(release)
	m.await(t, mac(1), in(host.Ready))
	if n := runs.Load(); n != 1 {
		t.Errorf("the job ran %d times, want once", n)
	}
}

// A host that an operator takes back is left alone at once.
func TestRetiredMeanwhile(t *testing.T) {
	s, m := cluster(t), newMemory()
	start(t, s, m)
	m.put(t, booted(1))
	m.await(t, mac(1), func(h host.Host) bool { return h.Progress.Step == "node" })
	h := booted(1)
	h.State, h.Since = host.Retired, time.Now().Add(time.Second)
	m.put(t, h)
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1"}))
	m.put(t, booted(2))
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host2"}))
	m.await(t, mac(2), in(host.Ready))
	if h := m.await(t, mac(1), in(host.Retired)); h.Node != "" {
		t.Errorf("a retired host was given the node %s", h.Node)
	}
}

// What can be lost is lost here: the store's signals, the cluster's connections,
// its answers, and the store's disk for a while.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(*nomadtest.Server, *memory)
	}{
		{"lost signals", func(_ *nomadtest.Server, m *memory) { m.mute = true }},
		{"restart", func(s *nomadtest.Server, _ *memory) { s.Restart() }},
		{"burst", func(s *nomadtest.Server, _ *memory) { s.Inject(nomadtest.Burst) }},
		{"empty replies", func(s *nomadtest.Server, _ *memory) { s.Inject(nomadtest.Fault{Times: 5}) }},
		{"full disk", func(_ *nomadtest.Server, m *memory) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.broken = errors.New("no space left on device")
			time.AfterFunc(300*time.Millisecond, func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.broken = nil
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, m := cluster(t), newMemory()
			m.put(t, booted(1))
			start(t, s, m)
			m.await(t, mac(1), func(h host.Host) bool { return h.Progress.Step == "node" })
			test.before(s, m)
			t.Cleanup(s.Join(&nomadtest.Client{Name: "host1"}))
			m.await(t, mac(1), in(host.Ready))
		})
	}
}

// Two hundred hosts arrive together, some of them hopeless: every other one gets
// through, with the real store and under few connections.
func TestManyHosts(t *testing.T) {
	const hosts, every = 200, 10 // one in ten fails, one in ten never joins
	s := cluster(t)
	st, err := store.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * hosts}}
	t.Cleanup(client.CloseIdleConnections)
	var runs atomic.Int32
	for n := range hosts {
		h := booted(n)
		h.Since = time.Now()
		advance(t, st, h)
		if n%every == 1 {
			continue
		}
		t.Cleanup(s.Join(&nomadtest.Client{Name: h.Name, HTTP: client, Task: func(context.Context, nomadtest.Task) nomadtest.Exit {
			runs.Add(1)
			if n%every == 0 {
				return nomadtest.Exit{Code: 1}
			}
			return nomadtest.Exit{}
		}}))
	}
	changed, unwatch := st.Watch()
	defer unwatch()
	start(t, s, st)
	hang := time.After(2 * time.Minute)
	for {
		count := map[host.State]int{}
		for _, h := range st.Hosts() {
			count[h.State]++
		}
		if count[host.Ready]+count[host.Failed]+count[host.Booted] == hosts && count[host.Booted] == hosts/every {
			if count[host.Failed] != hosts/every {
				t.Errorf("%d hosts have failed, want %d", count[host.Failed], hosts/every)
			}
			break
		}
		select {
		case <-changed:
		case <-hang:
			t.Fatalf("hosts by state: %v", count)
		}
	}
	if n := runs.Load(); n != hosts-hosts/every {
		t.Errorf("%d jobs ran, want %d", n, hosts-hosts/every)
	}
}

// advance brings a host to Booted in a real store, by the way of the table.
func advance(t *testing.T, st *store.Store, want host.Host) {
	t.Helper()
	for _, to := range []host.State{host.Admitted, host.Installing, host.Installed, host.Booted} {
		_, err := st.Change(want.MAC, "test", "", func(h *host.Host) (err error) {
			h.Name, h.Role = want.Name, want.Role
			now := time.Now()
			if to == host.Admitted {
				h.Grant = &host.Grant{ID: want.Grant.ID, Made: now, Expires: now.Add(time.Hour)}
			}
			if to == host.Installing {
				*h, _, err = h.Burn(host.Claim{Secret: "secret"}, now)
				return err
			}
			*h, err = h.Advance(to, now)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
