package daemon

import (
	"sync"
	"time"

	"provision.internal/host"
)

const (
	// loadTime is how long a machine may take from its request for an address to
	// its boot script: the firmware's negotiations, an NBP over TFTP, and iPXE's own
	// request.
	loadTime = 30 * time.Second
	// maxLoading bounds what is remembered; who forges more addresses than that
	// can only have a port moved too early.
	maxLoading = 1 << 12
)

// loading knows which machines are between their request for an address and
// their boot script: a port that is moved then cuts them off, and their firmware
// goes on to the disk.
type loading struct {
	mu    sync.Mutex
	since map[host.MAC]time.Time
	now   func() time.Time
}

// begin: the machine has asked for an address and a boot file.
func (l *loading) begin(mac host.MAC) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since == nil || len(l.since) >= maxLoading {
		l.since = map[host.MAC]time.Time{}
	}
	l.since[mac] = l.now()
}

// end: the machine has its script, which copes with a move.
func (l *loading) end(mac host.MAC) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.since, mac)
}

// is reports whether the machine is loading now.
func (l *loading) is(mac host.MAC) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, ok := l.since[mac]
	return ok && l.now().Sub(since) < loadTime
}
