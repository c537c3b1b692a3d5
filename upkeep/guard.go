package upkeep

import (
	"context"
	"time"

	"provision.internal/host"
)

// guard ends the work on hosts that left Ready: whoever takes one back, installs
// it anew or retires it must not meet a run on it.
func (m *Manager) guard(ctx context.Context) {
	changed, stop := m.Store.Watch()
	defer stop()
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		m.mu.Lock()
		runs := make([]*live, 0, len(m.runs))
		for _, l := range m.runs {
			runs = append(runs, l)
		}
		m.mu.Unlock()
		if len(runs) > 0 {
			known := map[string]bool{}
			for _, t := range m.Targets() {
				known[t.Host] = true
			}
			for _, l := range runs {
				l.dismiss(known)
			}
		}
		// A look at all hosts costs as much as there are: not for each of a thousand
		// changes.
		if !sleep(ctx, time.Second) {
			return
		}
	}
}

func (l *live) dismiss(known map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rows {
		if r.Result == host.ResultRunning && r.cancel != nil && !known[r.Host] {
			r.cancel(errLeft)
		}
	}
}
