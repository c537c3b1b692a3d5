package upkeep

import (
	"cmp"
	"slices"
	"time"

	"provision.internal/host"
)

// Drift says whether a host is as the last commit left it.
type Drift string

// What is known of it.
const (
	DriftUnknown   Drift = ""          // nothing was applied in success yet
	DriftNone      Drift = "no"        // as of the last run
	DriftFound     Drift = "drifted"   // a check has found changes of what was applied
	DriftCorrected Drift = "corrected" // the last run of the same commit had to change something
)

// HostStatus is how the configuration of one host stands.
type HostStatus struct {
	Host    string      `json:"host"`
	Role    string      `json:"role,omitempty"`
	Commit  string      `json:"commit,omitempty"` // that was applied last
	When    time.Time   `json:"when,omitzero"`
	Result  host.Result `json:"result,omitempty"` // empty: nothing was ever applied
	Totals  host.Totals `json:"totals,omitzero"`
	Changes []string    `json:"changes,omitempty"` // tasks of the last run
	Reason  string      `json:"reason,omitempty"`  // why it failed
	Run     string      `json:"run,omitempty"`     // the last one; empty: its enrolment
	Page    string      `json:"page,omitempty"`
	Drift   Drift       `json:"drift"`
	Drifted []string    `json:"drifted,omitempty"` // tasks that found, or corrected, drift
	Checked time.Time   `json:"checked,omitzero"`  // the last check
	Missed  string      `json:"missed,omitempty"`  // why a later run did not come to it
	Running string      `json:"running,omitempty"` // the run that is on it now
}

// Status is how the configuration of all hosts stands.
type Status struct {
	host.Upkeep
	Every  time.Duration `json:"every,omitempty"`  // ns; zero: there is no schedule
	Jitter time.Duration `json:"jitter,omitempty"` // ns
	Runs   []host.Run    `json:"runs"`             // under way, the oldest first; without their hosts
	Hosts  []HostStatus  `json:"hosts"`            // by name
}

// Status says how every host stands.
func (m *Manager) Status() Status {
	targets := m.Targets()
	m.mu.Lock()
	defer m.mu.Unlock()
	st := Status{
		Upkeep: m.decided, Every: m.Config.Schedule.Every, Jitter: m.Config.Schedule.Jitter, Runs: []host.Run{}, Hosts: []HostStatus{},
	}
	st.Commit, st.Paused = m.commit(), m.decided.Holds(m.Now())
	running := map[string]string{}
	for _, l := range m.runs {
		l.mu.Lock()
		for _, r := range l.rows {
			if r.Result == host.ResultRunning {
				running[r.Host] = l.run.ID
			}
		}
		l.mu.Unlock()
		r := l.snapshot()
		r.Hosts = nil
		st.Runs = append(st.Runs, r)
	}
	slices.SortFunc(st.Runs, func(a, b host.Run) int { return a.Began.Compare(b.Began) })
	for _, t := range targets {
		h := statusOf(merge(m.standings[t.Host], t))
		h.Role, h.Running = t.Role, running[t.Host]
		st.Hosts = append(st.Hosts, h)
	}
	slices.SortFunc(st.Hosts, func(a, b HostStatus) int { return cmp.Compare(a.Host, b.Host) })
	return st
}

func statusOf(s host.Standing) HostStatus {
	h := HostStatus{Host: s.Host}
	if last := s.Last; last != nil {
		h.Commit, h.When, h.Result, h.Totals, h.Changes = s.Commit, last.Ended, last.Result, last.Totals, last.Changes
		h.Reason, h.Run, h.Page, h.Drifted = last.Reason, last.Run, last.Page, last.Drift
		switch {
		case len(last.Drift) > 0:
			h.Drift = DriftCorrected
		case last.Result == host.ResultOK || last.Result == host.ResultChanged:
			h.Drift = DriftNone
		}
	}
	if s.Missed != nil {
		h.Missed = s.Missed.Reason
	}
	check := s.Check
	if check == nil {
		return h
	}
	h.Checked = check.Ended
	if s.Last != nil && check.Ended.Before(s.Last.Ended) {
		return h // what it found is done with
	}
	switch {
	case len(check.Drift) > 0:
		h.Drift, h.Drifted = DriftFound, check.Drift
	case check.Result == host.ResultOK && s.Checked == s.Commit:
		h.Drift, h.Drifted = DriftNone, nil
	}
	return h
}
