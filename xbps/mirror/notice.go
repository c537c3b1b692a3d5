package mirror

import (
	"errors"
	"time"
)

// quiet is how long a notice is not repeated: fifty machines that ask for the same
// broken package are one thing to know.
const quiet = time.Hour

// notices remembers what was told.
type notices struct{ at map[string]time.Time }

// fresh reports whether text is new, and remembers it.
func (n *notices) fresh(text string, now time.Time) bool {
	for t, at := range n.at {
		if now.Sub(at) >= quiet {
			delete(n.at, t)
		}
	}
	if _, ok := n.at[text]; ok {
		return false
	}
	if n.at == nil {
		n.at = map[string]time.Time{}
	}
	n.at[text] = now
	return true
}

// tell gives the operator a notice.
func (m *Mirror) tell(text string) {
	m.mu.Lock()
	fresh := m.told.fresh(text, m.cfg.Now())
	m.mu.Unlock()
	if fresh {
		m.cfg.Notice(text)
	}
}

// complain tells of err where an operator should know of it: an upstream that does
// not answer is in the status and the log.
func (m *Mirror) complain(err error) {
	for _, worth := range []error{ErrBroken, ErrVanished, ErrOlder, ErrFull} {
		if errors.Is(err, worth) {
			m.tell(err.Error())
			return
		}
	}
}
