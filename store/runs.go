package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	bolt "go.etcd.io/bbolt"

	"provision.internal/host"
)

// Keys of the bucket "upkeep", all to JSON. A host's name and a run's ID have no
// slash. Runs sort by time.
const (
	keyUpkeep   = "settings"
	keyRun      = "run/"      // ID → host.Run
	keyRow      = "row/"      // ID/HOST → host.Row
	keyStanding = "standing/" // HOST → host.Standing
)

// How many runs are kept, and rows of them. What is under way always is, and so
// is the newest run.
const (
	runsKept = 50
	rowsKept = 100_000
)

// entry is one write to the bucket "upkeep"; without a value it removes.
type entry struct {
	key   string
	value []byte
	prune bool // remove the oldest runs as well
}

// KeepRun makes r durable, and forgets the oldest runs that are over and more
// than are kept.
func (s *Store) KeepRun(r host.Run) error {
	return s.keep("run "+r.ID, kept{keyRun + r.ID, r})
}

// KeepRow makes a host's row durable, and with it, unless it is nil, where the
// host stands.
func (s *Store) KeepRow(r host.Row, standing *host.Standing) error {
	all := []kept{{keyRow + r.Run + "/" + r.Host, r}}
	if standing != nil {
		all = append(all, kept{keyStanding + standing.Host, *standing})
	}
	return s.keep("the row of "+r.Host+" in run "+r.Run, all...)
}

// KeepUpkeep makes what operators decided durable.
func (s *Store) KeepUpkeep(u host.Upkeep) error {
	return s.keep("what was decided on the hosts' configuration", kept{keyUpkeep, u})
}

// ForgetStanding forgets where a host stood that is no more.
func (s *Store) ForgetStanding(name string) error {
	return s.keep("that "+name+" is no more", kept{keyStanding + name, nil})
}

// Upkeep returns what operators decided; zero when they never did.
func (s *Store) Upkeep() (u host.Upkeep, err error) {
	err = s.scan(keyUpkeep, func(v []byte) error { return json.Unmarshal(v, &u) })
	return u, err
}

// Runs returns the runs that are kept, the oldest first.
func (s *Store) Runs() (all []host.Run, err error) { return list[host.Run](s, keyRun) }

// Rows returns the rows of one run, by host. A host that has not begun has none.
func (s *Store) Rows(run string) ([]host.Row, error) { return list[host.Row](s, keyRow+run+"/") }

// Standings returns where hosts stand, by name.
func (s *Store) Standings() ([]host.Standing, error) { return list[host.Standing](s, keyStanding) }

// kept is a value and its key; nil removes it.
type kept struct {
	key   string
	value any
}

func (s *Store) keep(what string, all ...kept) error {
	b, err := s.stageUpkeep(all)
	if err == nil {
		err = s.commitBatch(b)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", what, err)
	}
	return nil
}

func (s *Store) stageUpkeep(all []kept) (*batch, error) {
	var entries []entry
	for _, k := range all {
		e := entry{key: k.key, prune: strings.HasPrefix(k.key, keyRun)}
		if k.value != nil {
			var err error
			if e.value, err = json.Marshal(k.value); err != nil {
				return nil, err
			}
		}
		entries = append(entries, e)
	}
	s.stage.Lock()
	defer s.stage.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	s.pending.upkeep = append(s.pending.upkeep, entries...)
	return s.pending, nil
}

func putUpkeep(tx *bolt.Tx, entries []entry) error {
	b := tx.Bucket(bucketUpkeep)
	prune := false
	for _, e := range entries {
		prune = prune || e.prune
		if e.value == nil {
			if err := b.Delete([]byte(e.key)); err != nil {
				return err
			}
			continue
		}
		if err := b.Put([]byte(e.key), e.value); err != nil {
			return err
		}
	}
	if !prune {
		return nil
	}
	return pruneRuns(b)
}

// pruneRuns walks from the newest run to the oldest.
func pruneRuns(b *bolt.Bucket) error {
	var gone []string
	runs, rows := 0, 0
	c := b.Cursor()
	// The first key behind all of them; the one before it is the newest.
	newest := c.Prev
	if k, _ := c.Seek([]byte(keyRun + "\xff")); k == nil {
		newest = c.Last
	}
	for k, v := newest(); bytes.HasPrefix(k, []byte(keyRun)); k, v = c.Prev() {
		var r host.Run
		if err := json.Unmarshal(v, &r); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrDamaged, k, err)
		}
		runs, rows = runs+1, rows+r.Of
		if runs > 1 && r.Over() && (runs > runsKept || rows > rowsKept) {
			gone = append(gone, r.ID)
		}
	}
	for _, id := range gone {
		if err := b.Delete([]byte(keyRun + id)); err != nil {
			return err
		}
		prefix := []byte(keyRow + id + "/")
		// A cursor's Delete may skip the key behind it: seek again.
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Seek(prefix) {
			if err := c.Delete(); err != nil {
				return err
			}
		}
	}
	return nil
}

func list[T any](s *Store, prefix string) (all []T, err error) {
	err = s.scan(prefix, func(v []byte) error {
		var one T
		if err := json.Unmarshal(v, &one); err != nil {
			return err
		}
		all = append(all, one)
		return nil
	})
	return all, err
}

func (s *Store) scan(prefix string, f func(v []byte) error) error {
	return guarded(s.db.Path(), func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			c := tx.Bucket(bucketUpkeep).Cursor()
			for k, v := c.Seek([]byte(prefix)); bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
				if err := f(v); err != nil {
					return fmt.Errorf("%s: %w: %s: %w", s.db.Path(), ErrDamaged, k, err)
				}
			}
			return nil
		})
	})
}
