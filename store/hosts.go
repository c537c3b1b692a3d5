package store

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"provision.internal/host"
)

// Host returns the host with the address mac, or host.ErrUnknown.
func (s *Store) Host(mac host.MAC) (host.Host, error) {
	s.mu.RLock()
	h, ok := s.hosts[mac]
	s.mu.RUnlock()
	if !ok {
		return host.Host{}, unknownHost(mac)
	}
	return h.Clone(), nil
}

// Named returns the host with the given name, or host.ErrUnknown.
func (s *Store) Named(name string) (host.Host, error) {
	s.mu.RLock()
	mac, ok := s.names[name]
	h := s.hosts[mac]
	s.mu.RUnlock()
	if !ok {
		return host.Host{}, fmt.Errorf("%s: %w", name, host.ErrUnknown)
	}
	return h.Clone(), nil
}

// Hosts returns every host: those with a name by name, then the others by MAC.
func (s *Store) Hosts() []host.Host {
	s.mu.RLock()
	all := make([]host.Host, 0, len(s.hosts))
	for _, h := range s.hosts {
		all = append(all, h)
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b host.Host) int {
		if (a.Name == "") != (b.Name == "") {
			return cmp.Compare(b.Name, a.Name)
		}
		return cmp.Or(cmp.Compare(a.Name, b.Name), bytes.Compare(a.MAC[:], b.MAC[:]))
	})
	for i := range all {
		all[i] = all[i].Clone()
	}
	return all
}

// Change applies f to the host mac and makes the result durable before it
// returns it. f gets a host that has only its MAC when mac is not known, and an
// error of f changes nothing. f must change the state only by the host's own
// Advance, Fail and Burn; a step that is not in the transition table, or a grant
// that was used before, is refused. A change of the state is recorded as an event
// with actor and cause, and sets the deadline. A value that f leaves as it was
// costs no write.
//
// f must be quick, may run while others wait, and must not call Change, Record,
// Log or Close.
func (s *Store) Change(mac host.MAC, actor, cause string, f func(*host.Host) error) (host.Host, error) {
	h, b, err := s.stageChange(mac, actor, cause, f)
	if err != nil {
		return host.Host{}, err
	}
	if b != nil {
		if err := s.commitBatch(b); err != nil {
			return host.Host{}, fmt.Errorf("store %s: %w", h.Label(), err)
		}
	}
	return h.Clone(), nil
}

// stageChange returns the host as f leaves it and the batch that makes it
// durable; nil when it is.
func (s *Store) stageChange(mac host.MAC, actor, cause string, f func(*host.Host) error) (host.Host, *batch, error) {
	s.stage.Lock()
	defer s.stage.Unlock()
	if s.closed {
		return host.Host{}, nil, ErrClosed
	}
	old, waiting := s.latest(mac)
	h := old.Clone()
	h.MAC = mac
	if err := f(&h); err != nil {
		return host.Host{}, nil, err
	}
	// What f kept for itself must not reach into the store: freeze, and go on
	// with the copy.
	v, changed, err := s.stageHost(old, h, actor, cause)
	if err != nil {
		return host.Host{}, nil, err
	}
	if !changed {
		return v, waiting, nil
	}
	return v, s.pending, nil
}

// stageHost checks the step from old to h and adds it to the pending batch. The
// caller holds stage.
func (s *Store) stageHost(old, h host.Host, actor, cause string) (_ host.Host, changed bool, err error) {
	if err := s.checkName(old, h); err != nil {
		return h, false, err
	}
	moved, err := checkStep(old, h)
	if err != nil {
		return h, false, err
	}
	used, err := s.checkGrant(old, h)
	if err != nil {
		return h, false, err
	}
	if moved {
		h.Deadline = time.Time{}
		if d := s.deadlines[h.State]; d > 0 && !h.Arrived() {
			h.Deadline = h.Since.Add(d)
		}
	}
	before, err := freeze(old)
	if err != nil {
		return h, false, err
	}
	after, err := freeze(h)
	if err != nil {
		return h, false, err
	}
	if bytes.Equal(before.encoded, after.encoded) {
		return after.host, false, nil
	}
	s.pending.hosts[h.MAC] = after
	if moved {
		if h.Failure != nil {
			cause = h.Failure.Reason
		}
		s.pending.events = append(s.pending.events, host.Event{
			Time: s.now().UTC(), MAC: h.MAC, Host: h.Name, Kind: host.KindState,
			From: old.State, To: h.State, Actor: actor, Cause: cause,
		})
	}
	if used != nil {
		s.pending.burns = append(s.pending.burns, *used)
	}
	return after.host, true, nil
}

// checkStep holds the step to the transition table.
func checkStep(old, h host.Host) (moved bool, err error) {
	switch {
	case h.MAC.IsZero():
		return false, fmt.Errorf("a host must have a MAC address")
	case !old.MAC.IsZero() && h.MAC != old.MAC:
		return false, fmt.Errorf("%s: a host keeps its MAC address", old.Label())
	case h.State == "":
		return false, fmt.Errorf("%s: %w", h.Label(), host.ErrUnknown)
	case h.State == old.State && h.Since.Equal(old.Since):
		return false, nil
	case !old.State.Reaches(h.State):
		return false, fmt.Errorf("%s: %w from %s to %s", h.Label(), host.ErrTransition, old.State, h.State)
	case (h.State == host.Failed) != (h.Failure != nil):
		return false, fmt.Errorf("%s: a reason belongs to %s and to no other state", h.Label(), host.Failed)
	}
	return true, nil
}

// checkName keeps names unique. The caller holds stage.
func (s *Store) checkName(old, h host.Host) error {
	if h.Name == "" || h.Name == old.Name {
		return nil
	}
	taken := func(by any) error {
		return fmt.Errorf("the name %s: %w: %s has it", h.Name, host.ErrExists, by)
	}
	for _, a := range s.latestAdmissions() {
		if a.Name == h.Name {
			return taken("the machine awaited on port " + a.Port + ", which provision retire " + a.Name + " cancels,")
		}
	}
	for _, b := range []*batch{s.pending, s.inflight} {
		if b == nil {
			continue
		}
		for mac, v := range b.hosts {
			if latest, _ := s.latest(mac); mac != h.MAC && v.host.Name == h.Name && latest.Name == h.Name {
				return taken(mac)
			}
		}
	}
	s.mu.RLock()
	mac, ok := s.names[h.Name]
	s.mu.RUnlock()
	if latest, _ := s.latest(mac); ok && mac != h.MAC && latest.Name == h.Name {
		return taken(mac)
	}
	return nil
}
