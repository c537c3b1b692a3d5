package upkeep

import (
	"context"
	"errors"
	"slices"
	"sync"

	"provision.internal/host"
)

// live is a run that is under way.
type live struct {
	mu      sync.Mutex
	run     host.Run
	rows    []*row // in the order of run.Hosts
	left    int    // rows that are not final
	last    uint64 // number of the last change
	changed chan struct{}
	cancel  context.CancelCauseFunc // nil before its beginning
	slots   chan struct{}
}

// row is one host's, as of its change number seq. turn is its place in the host's
// queue; cancel ends its work.
type row struct {
	host.Row
	seq    uint64
	turn   *turn
	cancel context.CancelCauseFunc
}

func newLive(r host.Run, known []host.Row) *live {
	l := &live{run: r.Clone(), changed: make(chan struct{}), slots: make(chan struct{}, max(1, r.Parallel))}
	l.run.Tally = map[host.Result]int{}
	byHost := map[string]host.Row{}
	for _, k := range known {
		byHost[k.Host] = k
	}
	for _, name := range r.Hosts {
		k, ok := byHost[name]
		if !ok {
			k = host.Row{Run: r.ID, Host: name, Result: host.ResultWaiting}
		}
		l.last++
		l.rows = append(l.rows, &row{Row: k, seq: l.last})
		l.run.Tally[k.Result]++
		if !k.Result.Final() {
			l.left++
		}
	}
	return l
}

// update changes a row and tells followers. What f leaves as it was is no
// change.
func (l *live) update(r *row, f func(*host.Row)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, was := r.Result, r.Row
	f(&r.Row)
	if r.Result == before && r.Reason == was.Reason && r.Playbook == was.Playbook && r.Job == was.Job && r.Ended.Equal(was.Ended) {
		return
	}
	if before != r.Result {
		if l.run.Tally[before]--; l.run.Tally[before] == 0 {
			delete(l.run.Tally, before)
		}
		l.run.Tally[r.Result]++
	}
	if !before.Final() && r.Result.Final() {
		l.left--
	}
	l.last++
	r.seq = l.last
	l.tell()
}

// tell is called with the lock held.
func (l *live) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *live) snapshot() host.Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.run.Clone()
}

func (l *live) row(r *row) host.Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.Row
}

// ErrUnknown: there is no such run, or it is forgotten.
var ErrUnknown = errors.New("no such run")

// Stream is what one follower of a run has seen.
type Stream struct {
	live  *live // nil: the run was over
	run   host.Run
	rows  []host.Row
	after uint64
}

// Next returns the run, the rows that have changed since the last call, oldest
// change first, and a channel that is closed when there is more; nil after the
// run's end.
func (s *Stream) Next() (host.Run, []host.Row, <-chan struct{}) {
	if s.live == nil {
		rows := s.rows
		s.rows = nil
		return s.run, rows, nil
	}
	l := s.live
	l.mu.Lock()
	defer l.mu.Unlock()
	var new []*row
	for _, r := range l.rows {
		if r.seq > s.after {
			new = append(new, r)
		}
	}
	slices.SortFunc(new, func(a, b *row) int { return int(a.seq) - int(b.seq) })
	rows := make([]host.Row, len(new))
	for i, r := range new {
		rows[i] = r.Row
	}
	s.after = l.last
	run := l.run.Clone()
	if run.Over() {
		return run, rows, nil
	}
	return run, rows, l.changed
}

// Last is the reference to the newest run.
const Last = "last"

// Follow returns the stream of the run ref: an ID, or Last.
func (m *Manager) Follow(ref string) (*Stream, error) {
	run, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	l := m.runs[run.ID]
	m.mu.Unlock()
	if l != nil {
		return &Stream{live: l}, nil
	}
	rows, err := m.Store.Rows(run.ID)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b host.Row) int { return a.Ended.Compare(b.Ended) })
	if run, err = m.find(run.ID); err != nil { // it may have ended meanwhile
		return nil, err
	}
	return &Stream{run: run, rows: rows}, nil
}
