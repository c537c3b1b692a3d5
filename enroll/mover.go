package enroll

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"provision.internal/host"
)

// Ports are the switch ports behind which machines are. Look tells where every
// machine is and what the ports serve, Move puts a port into the VLAN of a stage
// and reads it back; with a MAC that is not zero only while the port is that
// machine's alone. Suspect says who else may have changed a port last, empty when
// nothing tells.
type Ports interface {
	Look(ctx context.Context) (host.Sight, error)
	Move(ctx context.Context, mac host.MAC, port string, stage host.Stage) (host.Moved, error)
	Suspect(ctx context.Context, port string) (string, error)
}

// mover has ports follow their hosts. It runs beside the reconciler: what it waits
// for keeps nothing else waiting, no host and no packet.
type mover struct {
	*Reconciler
	ended chan struct{} // signalled when a move has ended
	all   sync.WaitGroup

	// Of the goroutine of run alone.
	places map[host.MAC]host.Place // as last looked
	heard  map[host.MAC]time.Time  // when machines had been seen last, then
	blind  string                  // why the last look saw nothing
	told   map[refusal]string      // why a machine was not taken; at most mostTold
	shifts map[host.MAC]shift      // ports that somebody else has moved, as last looked

	mu      sync.Mutex
	busy    map[string]bool     // ports that a move is under way for
	trouble map[host.MAC]string // why a machine is not where it should be
}

func newMover(r *Reconciler) *mover {
	return &mover{
		Reconciler: r, ended: make(chan struct{}, 1), told: map[refusal]string{},
		busy: map[string]bool{}, trouble: map[host.MAC]string{},
	}
}

const (
	// lookPause is the least time between two looks. All machines are seen in one,
	// so that a rack which is switched on at once costs the router no more than
	// one machine.
	lookPause = time.Second
	// loadPause is the time between two questions whether a machine has loaded.
	loadPause = 100 * time.Millisecond
	// patience is how long a stranger is watched for a standing admission that it
	// does not fit yet, as while the router still knows who was there before.
	patience = 15 * time.Minute
)

// run looks and moves until ctx ends.
func (m *mover) run(ctx context.Context) {
	defer m.all.Wait()
	changed, stop := m.Store.Watch()
	defer stop()
	tick := time.NewTicker(m.tick())
	defer tick.Stop()
	var looked time.Time
	for {
		hosts, pause := m.Store.Hosts(), shortPause
		if now := m.now(); m.expects(hosts, looked, now) {
			looked, pause = now, min(lookPause, m.tick())
			m.look(ctx, hosts, now)
			hosts = m.Store.Hosts()
		}
		soon := m.begin(ctx, hosts)
		if !sleep(ctx, pause) {
			return
		}
		if soon && sleep(ctx, loadPause) {
			continue
		}
		select {
		case <-changed:
		case <-m.ended:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) (slept bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// expects reports whether it is time to look: at once when somebody was heard
// that is to be found, at each tick while somebody is waited for.
func (m *mover) expects(hosts []host.Host, looked, now time.Time) bool {
	since := now.Sub(looked)
	awaited, standing := false, len(m.Store.Admissions()) > 0
	for _, h := range hosts {
		if (h.State == host.Seen || h.State == host.Admitted) && !h.LastSeen.Equal(m.heard[h.MAC]) {
			return true
		}
		awaited = awaited || h.State == host.Admitted && !h.InPlace() ||
			standing && h.Stranger() && now.Sub(h.Asked) < patience
	}
	return since >= cmp.Or(m.Sweep, 30*time.Second) || awaited && since >= m.tick()
}

// look notes where machines are, and what follows from that.
func (m *mover) look(ctx context.Context, hosts []host.Host, now time.Time) {
	sight, err := m.Ports.Look(ctx)
	if err != nil {
		if ctx.Err() == nil && m.blind == "" {
			m.Log.WarnContext(ctx, "cannot see where machines are, will try again", "err", err)
		}
		m.places, m.blind = nil, err.Error()
	} else {
		if m.blind != "" {
			m.Log.InfoContext(ctx, "sees again where machines are")
		}
		m.places, m.blind = sight.Places, ""
	}
	m.shifts = shifts(hosts, sight)
	m.heard = map[host.MAC]time.Time{}
	for _, h := range hosts {
		if h.State == host.Seen || h.State == host.Admitted {
			m.heard[h.MAC] = h.LastSeen
		}
		if place, ok := m.places[h.MAC]; ok {
			if err := m.found(h, place); err != nil {
				m.Log.ErrorContext(ctx, "port not stored, will try again", "host", h.Label(), "mac", h.MAC, "port", place.Port, "err", err)
			}
		}
	}
	m.admissions(ctx, now)
	for _, h := range m.Store.Hosts() {
		m.explain(ctx, h)
	}
}

// explain shows what an admitted host waits for.
func (m *mover) explain(ctx context.Context, h host.Host) {
	want := host.Progress{}
	switch place := m.places[h.MAC]; {
	case h.State != host.Admitted || h.InPlace():
		_, _, ok := due(h)
		if _, shifted := m.shifts[h.MAC]; !ok && !shifted {
			m.setTrouble(h.MAC, "")
		}
	case h.Grant.Port != "":
		want = host.Progress{Step: stepPort, Text: cmp.Or(m.troubleOf(h.MAC), "its port "+h.Grant.Port+" is being moved")}
	default:
		why := cmp.Or(m.blind, place.Doubt, "it was not found on any port of the router")
		m.setTrouble(h.MAC, why)
		want = host.Progress{Step: stepPort, Text: why}
	}
	if h.Progress == want || want.Step == "" && h.Progress.Step != stepPort || h.State != host.Admitted {
		return
	}
	err := m.change(h, want.Text, func(h *host.Host) error {
		h.Progress = want
		return nil
	})
	if err != nil && !errors.Is(err, errMoved) {
		m.Log.WarnContext(ctx, "progress not stored", "host", h.Label(), "mac", h.MAC, "err", err)
	}
}

// stepPort is the progress of an admitted host whose port is not ready for it.
const stepPort = "port"

func (m *mover) setTrouble(mac host.MAC, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if text == "" {
		delete(m.trouble, mac)
		return
	}
	m.trouble[mac] = text
}

// troubleOf says what keeps a machine from its place. A nil mover knows nothing.
func (m *mover) troubleOf(mac host.MAC) string {
	if m == nil {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.trouble[mac]
}
