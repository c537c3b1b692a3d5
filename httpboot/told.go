package httpboot

import (
	"sync"
	"time"

	"provision.internal/host"
)

// maxTold bounds what is remembered of machines that ask.
const maxTold = 1 << 16

// told remembers what each machine was sent last, so that only changes are
// logged.
type told struct {
	mu   sync.Mutex
	last map[host.MAC]string
}

// changed reports whether what is news for mac.
func (t *told) changed(mac host.MAC, what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last[mac] == what {
		return false
	}
	if t.last == nil || len(t.last) >= maxTold {
		t.last = map[host.MAC]string{}
	}
	t.last[mac] = what
	return true
}

func (s *Server) tell(mac host.MAC, script, why string) {
	if s.told.changed(mac, script+why) {
		s.Log.Info("boot script", "mac", mac, "script", script, "reason", why)
	}
}

// notice records something about mac that an operator should know, at most one
// in noticeEvery for a machine: whoever knocks at a door must not fill the disk.
func (s *Server) notice(mac host.MAC, actor, text string) {
	if !s.refused.allow(mac, s.Now()) {
		return
	}
	if err := s.History.Record(host.Event{MAC: mac, Kind: host.KindNotice, Actor: actor, Cause: text}); err != nil {
		s.Log.Error("record a notice", "mac", mac, "err", err)
	}
}

const noticeEvery = 10 * time.Second

// limiter lets one event of each key pass in noticeEvery.
type limiter[K comparable] struct {
	mu   sync.Mutex
	last map[K]time.Time
}

func (l *limiter[K]) allow(key K, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.last[key]; ok && now.Sub(at) < noticeEvery {
		return false
	}
	if l.last == nil || len(l.last) >= maxTold {
		l.last = map[K]time.Time{}
	}
	l.last[key] = now
	return true
}
