package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	bolt "go.etcd.io/bbolt"

	"provision.internal/host"
)

// Record appends e to the history and returns when it is durable. The store
// sets its ID, its time when that is zero, and its host's name.
func (s *Store) Record(e host.Event) error {
	b, err := s.stageEvents(e)
	if err != nil {
		return err
	}
	if err := s.commitBatch(b); err != nil {
		return fmt.Errorf("store an event: %w", err)
	}
	return nil
}

func (s *Store) stageEvents(events ...host.Event) (*batch, error) {
	s.stage.Lock()
	defer s.stage.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	for _, e := range events {
		s.stageEvent(e)
	}
	return s.pending, nil
}

// stageEvent adds e to the pending batch. The caller holds stage.
func (s *Store) stageEvent(e host.Event) {
	if e.Time.IsZero() {
		e.Time = s.now()
	}
	e.Time = e.Time.UTC()
	if h, _ := s.latest(e.MAC); e.Host == "" {
		e.Host = h.Name
	}
	s.pending.events = append(s.pending.events, e)
}

// putEvents numbers events and stores them. The bucket's sequence is rolled back
// with its transaction, so numbers have no gaps.
func putEvents(tx *bolt.Tx, events []host.Event) error {
	all, byHost := tx.Bucket(bucketEvents), tx.Bucket(bucketByHost)
	all.FillPercent = 1 // events only ever come behind the last one
	for _, e := range events {
		id, err := all.NextSequence()
		if err != nil {
			return err
		}
		e.ID = id
		v, err := json.Marshal(e)
		if err != nil {
			return err
		}
		key := binary.BigEndian.AppendUint64(nil, id)
		if err := all.Put(key, v); err != nil {
			return err
		}
		if e.MAC.IsZero() {
			continue
		}
		if err := byHost.Put(append(e.MAC[:], key...), nil); err != nil {
			return err
		}
	}
	return nil
}

// Events returns at most limit events (0: all) with IDs above after, oldest
// first: those of the host mac, or of everything when mac is zero.
func (s *Store) Events(mac host.MAC, after uint64, limit int) ([]host.Event, error) {
	if limit <= 0 {
		limit = math.MaxInt
	}
	if after == math.MaxUint64 {
		return nil, nil
	}
	var found []host.Event
	add := func(v []byte) error {
		var e host.Event
		if err := json.Unmarshal(v, &e); err != nil {
			return fmt.Errorf("%s: %w: an event: %w", s.db.Path(), ErrDamaged, err)
		}
		found = append(found, e)
		return nil
	}
	from := binary.BigEndian.AppendUint64(nil, after+1)
	err := guarded(s.db.Path(), func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			all := tx.Bucket(bucketEvents)
			if mac.IsZero() {
				c := all.Cursor()
				for k, v := c.Seek(from); k != nil && len(found) < limit; k, v = c.Next() {
					if err := add(v); err != nil {
						return err
					}
				}
				return nil
			}
			c := tx.Bucket(bucketByHost).Cursor()
			for k, _ := c.Seek(append(mac[:], from...)); len(k) == len(mac)+8 && host.MAC(k) == mac && len(found) < limit; k, _ = c.Next() {
				if err := add(all.Get(k[len(mac):])); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return found, err
}
