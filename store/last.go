package store

import (
	bolt "go.etcd.io/bbolt"
)

// LastEvent returns the ID of the newest event, 0 when there is none. IDs have
// no gaps, so the last n events are those above LastEvent() - n.
func (s *Store) LastEvent() (id uint64, err error) {
	err = guarded(s.db.Path(), func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			id = tx.Bucket(bucketEvents).Sequence()
			return nil
		})
	})
	return id, err
}
