package store

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"provision.internal/host"
)

// A standing admission lets a machine in that nobody has named, so it is kept as
// strictly as a grant: taking it is written to grants.log before the database,
// and whatever makes open grants doubtful at a start cancels it.

// Admissions returns the standing admissions, by port, expired ones among them
// until somebody cancels them.
func (s *Store) Admissions() []host.Admission {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.SortedFunc(maps.Values(s.admissions), byPort)
}

func byPort(a, b host.Admission) int { return cmp.Compare(a.Port, b.Port) }

// Stand makes a standing admission durable. host.ErrExists is wrapped when its
// port has one already, or its name belongs to a host or to another one.
func (s *Store) Stand(a host.Admission, actor string) error {
	b, err := s.stageStand(a, actor)
	if err != nil {
		return err
	}
	if err := s.commitBatch(b); err != nil {
		return fmt.Errorf("store the admission on port %s: %w", a.Port, err)
	}
	return nil
}

func (s *Store) stageStand(a host.Admission, actor string) (*batch, error) {
	s.stage.Lock()
	defer s.stage.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if a.ID == "" || a.Port == "" || a.Name == "" {
		return nil, fmt.Errorf("an admission has an identifier, a port and a name: %+v", a)
	}
	if _, used := s.burned[a.ID]; used {
		return nil, fmt.Errorf("the admission on port %s: %w: it was taken before", a.Port, host.ErrGrant)
	}
	for _, other := range s.latestAdmissions() {
		if other.Port == a.Port {
			return nil, fmt.Errorf("port %s: %w: it awaits %s already; provision retire %s cancels that", a.Port, host.ErrExists, other.Name, other.Name)
		}
	}
	if err := s.checkName(host.Host{}, host.Host{Name: a.Name}); err != nil {
		return nil, err
	}
	s.pending.admissions[a.Port] = &a
	s.stageEvent(host.Event{Host: a.Name, Kind: host.KindNotice, Actor: actor, Cause: fmt.Sprintf(
		"the next machine on port %s is to be admitted as %s with role %s, until %s", a.Port, a.Name, a.Role, a.Expires.UTC().Format(time.RFC3339))})
	return s.pending, nil
}

// Cancel removes the standing admission id. host.ErrUnknown is wrapped when it is
// gone.
func (s *Store) Cancel(id, actor, cause string) (host.Admission, error) {
	a, b, err := s.stageCancel(id, actor, cause)
	if err != nil {
		return a, err
	}
	if err := s.commitBatch(b); err != nil {
		return a, fmt.Errorf("cancel the admission on port %s: %w", a.Port, err)
	}
	return a, nil
}

func (s *Store) stageCancel(id, actor, cause string) (host.Admission, *batch, error) {
	s.stage.Lock()
	defer s.stage.Unlock()
	if s.closed {
		return host.Admission{}, nil, ErrClosed
	}
	a, err := s.admission(id)
	if err != nil {
		return a, nil, err
	}
	s.pending.admissions[a.Port] = nil
	s.stageEvent(host.Event{Host: a.Name, Kind: host.KindNotice, Actor: actor, Cause: "the admission on port " + a.Port + " is over: " + cause})
	return a, s.pending, nil
}

// Take gives the machine mac the standing admission id, and a grant of its own,
// in one transaction. It is refused (host.ErrUnknown, host.ErrGrant) when the
// admission is gone or has expired, or the machine is no stranger any more.
func (s *Store) Take(id string, mac host.MAC, actor, cause string) (host.Host, error) {
	h, b, err := s.stageTake(id, mac, actor, cause)
	if err != nil {
		return h, err
	}
	if err := s.commitBatch(b); err != nil {
		return h, fmt.Errorf("admit %s: %w", mac, err)
	}
	return h.Clone(), nil
}

func (s *Store) stageTake(id string, mac host.MAC, actor, cause string) (host.Host, *batch, error) {
	s.stage.Lock()
	defer s.stage.Unlock()
	if s.closed {
		return host.Host{}, nil, ErrClosed
	}
	a, err := s.admission(id)
	if err != nil {
		return host.Host{}, nil, err
	}
	now := s.now()
	if !a.Open(now) {
		return host.Host{}, nil, fmt.Errorf("the admission on port %s: %w: it has expired", a.Port, host.ErrGrant)
	}
	if _, used := s.burned[a.ID]; used { // and the database could not be written then
		return host.Host{}, nil, fmt.Errorf("the admission on port %s: %w: it was taken before", a.Port, host.ErrGrant)
	}
	old, _ := s.latest(mac)
	h, err := a.Take(old.Clone(), rand.Text(), now)
	if err != nil {
		return old, nil, err
	}
	before, known := s.pending.admissions[a.Port]
	s.pending.admissions[a.Port] = nil // its name is free for the machine now
	h, _, err = s.stageHost(old, h, actor, cause)
	if err != nil {
		if delete(s.pending.admissions, a.Port); known {
			s.pending.admissions[a.Port] = before
		}
		return old, nil, err
	}
	s.pending.burns = append(s.pending.burns, burn{Grant: a.ID, MAC: mac, Time: now.UTC()})
	return h, s.pending, nil
}

// admission returns the newest value of a standing admission, committed or not.
// The caller holds stage.
func (s *Store) admission(id string) (host.Admission, error) {
	for _, a := range s.latestAdmissions() {
		if a.ID == id {
			return a, nil
		}
	}
	return host.Admission{}, fmt.Errorf("a standing admission: %w: it was taken, has expired or was cancelled", host.ErrUnknown)
}

// latestAdmissions returns what is there once all that is staged is durable. The
// caller holds stage.
func (s *Store) latestAdmissions() map[string]host.Admission {
	s.mu.RLock()
	all := maps.Clone(s.admissions)
	s.mu.RUnlock()
	for _, b := range []*batch{s.inflight, s.pending} {
		if b == nil {
			continue
		}
		for port, a := range b.admissions {
			if a == nil {
				delete(all, port)
			} else {
				all[port] = *a
			}
		}
	}
	return all
}

// loadAdmissions reads them all, when the store is opened.
func (s *Store) loadAdmissions(tx *bolt.Tx) error {
	return tx.Bucket(bucketAdmissions).ForEach(func(port, v []byte) error {
		var a host.Admission
		if err := json.Unmarshal(v, &a); err != nil {
			return fmt.Errorf("%w: the admission on port %q: %w", ErrDamaged, port, err)
		}
		if string(port) != a.Port || a.ID == "" {
			return fmt.Errorf("%w: the admission on port %q says that it is on %q", ErrDamaged, port, a.Port)
		}
		s.admissions[a.Port] = a
		return nil
	})
}

func putAdmissions(tx *bolt.Tx, admissions map[string]*host.Admission) error {
	bucket := tx.Bucket(bucketAdmissions)
	for port, a := range admissions {
		if a == nil {
			if err := bucket.Delete([]byte(port)); err != nil {
				return err
			}
			continue
		}
		v, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if err := bucket.Put([]byte(port), v); err != nil {
			return err
		}
	}
	return nil
}

// guardAdmissions cancels what cannot be trusted after a start.
func (s *Store) guardAdmissions(revoke string) error {
	for _, a := range s.Admissions() {
		why := revoke
		if was, used := s.burned[a.ID]; used {
			why = "it was taken by " + was.MAC.String() + " at " + was.Time.Format(time.RFC3339) +
				", as grants.log knows; provision.db did not: a crash, or an older copy of it"
		}
		if why == "" {
			continue
		}
		if _, err := s.Cancel(a.ID, "store", why+"; repeat provision enroll"); err != nil {
			return err
		}
	}
	return nil
}
