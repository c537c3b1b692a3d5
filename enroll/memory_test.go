package enroll

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"provision.internal/host"
)

// memory is a store without a disk, which can be made to fail or to lose its
// signals.
type memory struct {
	deadlines map[host.State]time.Duration

	mu      sync.Mutex
	hosts   map[host.MAC]host.Host
	lines   map[host.MAC][]string
	noticed map[host.MAC]int
	steps   map[host.MAC][]host.State
	mute    bool // changes signal nobody
	broken  error
	watch   []chan struct{}
	moved   *sync.Cond
}

func newMemory() *memory {
	m := &memory{hosts: map[host.MAC]host.Host{}, lines: map[host.MAC][]string{}, noticed: map[host.MAC]int{}, steps: map[host.MAC][]host.State{}}
	m.moved = sync.NewCond(&m.mu)
	return m
}

func (m *memory) Hosts() []host.Host {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []host.Host
	for _, h := range m.hosts {
		out = append(out, h)
	}
	return out
}

func (m *memory) Change(mac host.MAC, _, _ string, f func(*host.Host) error) (host.Host, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return host.Host{}, m.broken
	}
	old := m.hosts[mac]
	h := old
	h.MAC = mac
	if err := f(&h); err != nil {
		return host.Host{}, err
	}
	if h.State != old.State || !h.Since.Equal(old.Since) {
		m.steps[mac] = append(m.steps[mac], h.State)
		if d := m.deadlines[h.State]; d > 0 {
			h.Deadline = h.Since.Add(d)
		}
	}
	m.hosts[mac] = h
	m.moved.Broadcast()
	if !m.mute {
		for _, c := range m.watch {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
	return h, nil
}

func (m *memory) Watch() (<-chan struct{}, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := make(chan struct{}, 1)
	m.watch = append(m.watch, c)
	return c, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.watch = slices.DeleteFunc(m.watch, func(o chan struct{}) bool { return o == c })
	}
}

func (m *memory) Log(mac host.MAC, lines []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines[mac] = append(m.lines[mac], lines...)
	return nil
}

func (m *memory) Record(e host.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Kind == host.KindNotice {
		m.noticed[e.MAC]++
		m.moved.Broadcast()
	}
	return nil
}

// What hangs on ports is tried with the real store.
func (m *memory) Admissions() []host.Admission { return nil }

func (m *memory) Take(string, host.MAC, string, string) (host.Host, error) {
	return host.Host{}, host.ErrUnknown
}

func (m *memory) Cancel(string, string, string) (host.Admission, error) {
	return host.Admission{}, host.ErrUnknown
}

// put places a host without telling anybody's table of transitions.
func (m *memory) put(t *testing.T, h host.Host) host.Host {
	t.Helper()
	if h.Since.IsZero() {
		h.Since = time.Now()
	}
	h, err := m.Change(h.MAC, "test", "", func(to *host.Host) error {
		*to = h
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// await returns the host when it is as wanted.
func (m *memory) await(t *testing.T, mac host.MAC, want func(host.Host) bool) host.Host {
	t.Helper()
	give := time.AfterFunc(60*time.Second, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.broken = errors.New("the test is over")
		m.moved.Broadcast()
	})
	defer give.Stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for !want(m.hosts[mac]) {
		if m.broken != nil && m.broken.Error() == "the test is over" {
			t.Fatalf("%s hangs: %+v", mac, m.hosts[mac])
		}
		m.moved.Wait()
	}
	return m.hosts[mac]
}

func in(s host.State) func(host.Host) bool { return func(h host.Host) bool { return h.State == s } }

func mac(n int) host.MAC { return host.MAC{0x52, 0x54, 0, 0, byte(n >> 8), byte(n)} }

func booted(n int) host.Host {
	return host.Host{
		MAC: mac(n), Name: fmt.Sprintf("host%d", n), Role: "worker", State: host.Booted, Grant: &host.Grant{ID: fmt.Sprintf("grant-%06d", n)},
	}
}
