package store

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"provision.internal/host"
)

// A batch is what one transaction writes. Callers stage their changes into the
// pending batch one after another and then commit it together: whoever comes
// first writes for all, so that a thousand hosts that change at once cost a few
// syncs.
type batch struct {
	hosts  map[host.MAC]staged
	events []host.Event
	burns  []burn
	// admissions by port; nil is one that is gone.
	admissions map[string]*host.Admission
	upkeep     []entry
	done       chan struct{} // closed when err is final
	err        error
}

// staged is a host as it will be read back, and as it is stored.
type staged struct {
	host    host.Host
	encoded []byte
}

func newBatch() *batch {
	return &batch{hosts: map[host.MAC]staged{}, admissions: map[string]*host.Admission{}, done: make(chan struct{})}
}

// latest returns the newest value of a host, committed or not, and the batch
// that has yet to make it durable. The caller holds stage.
func (s *Store) latest(mac host.MAC) (host.Host, *batch) {
	for _, b := range []*batch{s.pending, s.inflight} {
		if b != nil {
			if v, ok := b.hosts[mac]; ok {
				return v.host, b
			}
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.hosts[mac], nil
}

// commitBatch makes b durable, unless another caller has done so meanwhile.
func (s *Store) commitBatch(b *batch) error {
	s.commit.Lock()
	defer s.commit.Unlock()
	select {
	case <-b.done:
		return b.err
	default:
	}
	// No other batch is being written and b is not done: b is the pending one.
	s.stage.Lock()
	if s.closed {
		s.stage.Unlock()
		return ErrClosed
	}
	s.pending, s.inflight = newBatch(), b
	s.stage.Unlock()

	burned, err := s.write(b)
	if err != nil {
		err = explain(err, s.dir)
	}

	s.stage.Lock()
	defer s.stage.Unlock()
	for _, g := range burned {
		s.burned[g.Grant] = g
	}
	s.inflight = nil
	b.finish(err)
	if err != nil {
		// What was staged meanwhile may stand on what is now void.
		s.pending.finish(err)
		s.pending = newBatch()
		return err
	}
	s.mu.Lock()
	for _, v := range b.hosts {
		s.publish(v.host)
	}
	for port, a := range b.admissions {
		if a == nil {
			delete(s.admissions, port)
		} else {
			s.admissions[port] = *a
		}
	}
	s.mu.Unlock()
	if len(b.hosts)+len(b.events)+len(b.admissions) > 0 {
		s.watchers.signal()
	}
	return nil
}

func (b *batch) finish(err error) {
	b.err = err
	close(b.done)
}

// write puts b on the disk: burned grants first, since a grant that is used
// must stay used even when the database cannot be written. It returns the burns
// that are durable.
func (s *Store) write(b *batch) (burned []burn, err error) {
	if len(b.burns) > 0 {
		if err := s.appendBurns(b.burns); err != nil {
			return nil, fmt.Errorf("record a used grant: %w", err)
		}
		burned = b.burns
	}
	return burned, guarded(s.db.Path(), func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			hosts := tx.Bucket(bucketHosts)
			for mac, v := range b.hosts {
				if err := hosts.Put(mac[:], v.encoded); err != nil {
					return err
				}
			}
			if err := putAdmissions(tx, b.admissions); err != nil {
				return err
			}
			if err := putUpkeep(tx, b.upkeep); err != nil {
				return err
			}
			return putEvents(tx, b.events)
		})
	})
}

// publish makes h what readers get. The caller holds mu.
func (s *Store) publish(h host.Host) {
	old := s.hosts[h.MAC]
	if old.State == host.Seen {
		s.strangers--
	}
	if h.State == host.Seen {
		s.strangers++
	}
	if old.Name != "" && s.names[old.Name] == h.MAC {
		delete(s.names, old.Name)
	}
	if h.Name != "" {
		s.names[h.Name] = h.MAC
	}
	s.hosts[h.MAC] = h
}

// freeze returns h as it will be read back after a restart, sharing nothing
// with the caller's value.
func freeze(h host.Host) (staged, error) {
	encoded, err := json.Marshal(h)
	if err != nil {
		return staged{}, fmt.Errorf("%s: %w", h.Label(), err)
	}
	var back host.Host
	if err := json.Unmarshal(encoded, &back); err != nil {
		return staged{}, fmt.Errorf("%s: %w", h.Label(), err)
	}
	return staged{host: back, encoded: encoded}, nil
}
