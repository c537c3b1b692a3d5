package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
	"provision.internal/store"
)

// BenchmarkDispatch dispatches over 1,000 hosts of a simulated cluster, whose
// playbook takes a tenth of a second.
func BenchmarkDispatch(b *testing.B) {
	const hosts = 1000
	s := &nomadtest.Server{TTL: time.Minute}
	s.Start()
	b.Cleanup(s.Close)
	cluster, err := nomad.New(nomad.Config{Address: s.URL, Servers: []string{"127.0.0.1:4647"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		parts.Wait()
	})
	parts.Go(func() { _ = cluster.Run(ctx) })
	var targets []Target
	byName := map[string]Target{}
	for n := range hosts {
		name := fmt.Sprintf("node%04d", n)
		leave := s.Join(&nomadtest.Client{Name: name, Task: func(ctx context.Context, _ nomadtest.Task) nomadtest.Exit {
			sleep(ctx, 100*time.Millisecond)
			return nomadtest.Exit{}
		}})
		b.Cleanup(leave)
		byName[name] = Target{Target: ansible.Target{Host: name}, Playbooks: []string{"base.yml"}}
		targets = append(targets, byName[name])
	}
	for _, t := range targets {
		if _, err := cluster.WaitNode(ctx, t.Host); err != nil {
			b.Fatal(err)
		}
	}
	st, err := store.Open(filepath.Join(b.TempDir(), "store"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close() })
	m, err := New(Parts{
		Store: st, Runner: &ansible.Runner{Nomad: cluster, Own: true}, Targets: func() []Target { return targets }, Log: slog.New(slog.DiscardHandler),
		Target: func(name string) (Target, bool) {
			t, ok := byName[name]
			return t, ok
		},
		Ready: func(ctx context.Context, name string) error {
			_, err := cluster.WaitNode(ctx, name)
			return err
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	parts.Go(func() { _ = m.Run(ctx) })
	var first, hundredth time.Duration
	var most uint64
	idle := heap()
	for n := 0; b.Loop(); n++ {
		began := time.Now()
		run, err := m.Dispatch(Request{All: true, Commit: fmt.Sprint("c", n)}, "bench")
		if err != nil {
			b.Fatal(err)
		}
		stream, err := m.Follow(run.ID)
		if err != nil {
			b.Fatal(err)
		}
		ended := 0
		for more := (<-chan struct{})(nil); ; {
			var rows []host.Row
			run, rows, more = stream.Next()
			for _, r := range rows {
				if !r.Result.Final() {
					continue
				}
				switch ended++; ended {
				case 1:
					first += time.Since(began)
				case 100:
					hundredth += time.Since(began)
				case hosts / 2:
					most = max(most, heap())
				}
			}
			if more == nil {
				break
			}
			<-more
		}
		if run.Tally[host.ResultOK] != hosts {
			b.Fatalf("tally %v, want %d ok", run.Tally, hosts)
		}
	}
	n := time.Duration(b.N)
	b.ReportMetric(float64((first / n).Milliseconds()), "ms/first-row")
	b.ReportMetric(float64((hundredth / n).Milliseconds()), "ms/100th-row")
	b.ReportMetric(float64(int64(most)-int64(idle))/(1<<20), "MB-more-with-simulator")
}

// heap is what is in use after a collection, the simulator's share included.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
