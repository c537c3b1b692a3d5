package mirror

import (
	"maps"
	"time"

	"provision.internal/xbps"
)

// Status is the mirror at a glance.
type Status struct {
	Upstream  string    // empty: there is none
	Asked     bool      // whether upstream was asked since the start
	Err       error     // of the last request to it; nil when it was answered
	Since     time.Time // when it last began or ceased to answer
	Used      int64     // bytes of packages; zero until they have been counted
	Limit     int64
	Snapshots int
	Counters  map[string]uint64
}

// Status tells how the mirror stands. It reads no disk.
func (m *Mirror) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{
		Asked: m.upstream.asked, Err: m.upstream.err, Since: m.upstream.since,
		Used: max(m.used, 0), Limit: m.cfg.Limit, Snapshots: len(m.snapshots),
		Counters: map[string]uint64{
			"served from disk": m.counts.hits.Load(), "fetched": m.counts.misses.Load(), "bytes fetched": m.counts.fetched.Load(),
			"resumed": m.counts.resumed.Load(), "broken": m.counts.broken.Load(), "damaged": m.counts.damaged.Load(),
			"evicted": m.counts.evicted.Load(), "passed through": m.counts.passed.Load(),
		},
	}
	if m.cfg.Upstream != nil {
		s.Upstream = m.cfg.Upstream.String()
	}
	return s
}

// Keys are the package keys that are trusted: the configuration's, and those that imports
// brought.
func (m *Mirror) Keys() xbps.Keys {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.keys)
}
