package main

import (
	"time"

	"provision.internal/host"
	"provision.internal/web"
)

// chapter is the time that a host spent in one state.
type chapter struct {
	State  host.State    `json:"state"`
	Since  time.Time     `json:"since"`
	Until  time.Time     `json:"until,omitzero"` // zero: still in it
	Cause  string        `json:"cause,omitempty"`
	Actor  string        `json:"actor,omitempty"`
	Length time.Duration `json:"-"`
}

// story is what the updates told about one host, since its last admission.
type story struct {
	host     host.Host
	chapters []chapter
	step     host.Progress // of the current chapter
	log      []string      // its last lines, oldest first
	failure  *host.Failure
	told     string // the last step that had a plain line
}

const logKept = 12

// add takes one update in.
func (s *story) add(u web.Update) {
	if u.Event != nil {
		s.addEvent(*u.Event)
	}
	if u.Host != nil {
		s.host = *u.Host
		s.step = u.Host.Progress
		s.failure = u.Host.Failure
	}
}

func (s *story) addEvent(e host.Event) {
	switch e.Kind {
	case host.KindState:
		if e.To == host.Admitted {
			s.chapters, s.log = nil, nil
		}
		if n := len(s.chapters); n > 0 {
			s.chapters[n-1].Until = e.Time
		}
		s.chapters = append(s.chapters, chapter{State: e.To, Since: e.Time, Cause: e.Cause, Actor: e.Actor})
		s.host.State, s.host.Since = e.To, e.Time
		s.step = host.Progress{}
	case host.KindProgress:
		// The host's own value, which follows, also has how far it got.
		s.step = host.Progress{Step: e.Cause, Text: e.Line}
	case host.KindLog:
		s.log = append(s.log, e.Line)
		if n := len(s.log); n > logKept {
			s.log = s.log[n-logKept:]
		}
	}
	if s.host.MAC.IsZero() {
		s.host.MAC, s.host.Name = e.MAC, e.Host
	}
}

// chapterOf returns the last time that the host was in st.
func (s *story) chapterOf(st host.State) (chapter, bool) {
	for i := len(s.chapters) - 1; i >= 0; i-- {
		if s.chapters[i].State == st {
			return s.chapters[i], true
		}
	}
	return chapter{}, false
}

// length is how long c took, or takes until now.
func (c chapter) length(now time.Time) time.Duration {
	if c.Until.IsZero() {
		return now.Sub(c.Since)
	}
	return c.Until.Sub(c.Since)
}

// total is the time from the admission to the last state, or until now while
// the host is under way.
func (s *story) total(now time.Time) time.Duration {
	if len(s.chapters) == 0 {
		return 0
	}
	first, last := s.chapters[0], s.chapters[len(s.chapters)-1]
	if last.State.Settled() {
		return last.Since.Sub(first.Since)
	}
	return now.Sub(first.Since)
}

// over reports whether the journey has come to an end: well, badly, or because
// somebody took the host out of it.
func (s *story) over() bool { return s.host.State.Settled() || s.host.Arrived() }
