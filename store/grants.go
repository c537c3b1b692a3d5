package store

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"provision.internal/host"
)

// A grant wipes a disk, so a used one must never become open again, whatever
// happens to provision.db. Every use is therefore written to grants.log first:
// an append-only journal beside the database that is kept for ever.
//
//   - A crash between the two writes: the next start finds the use in grants.log
//     and moves the host to Installing. The agent that used it may go on.
//   - An older provision.db put back: the same. Grants that it holds open and
//     that were used since are found in grants.log.
//   - An older grants.log put back, or the file removed: each start adds a random
//     generation to grants.log and then to provision.db. When grants.log does not
//     know the database's generation, it is older than the database, so every
//     open grant is revoked.
//   - The whole folder put back or copied: both files agree, but grants.log is
//     another file than the one that its last generation was written to (inode
//     and time of birth). Every open grant is revoked.
//
// What is left is a file system or a virtual machine that is rolled back as a
// whole. The expiry of a grant bounds that.

// record is one entry of grants.log: the start of the appliance or the use of
// grants.
type record struct {
	Start *start `json:"start,omitempty"`
	Burns []burn `json:"burns,omitempty"`
}

// start is written by each Open.
type start struct {
	Generation string    `json:"generation"`
	Inode      uint64    `json:"inode"`
	Birth      int64     `json:"birth"` // nanoseconds; zero where the file system does not tell
	Time       time.Time `json:"time"`
}

// burn is the use of a grant.
type burn struct {
	Grant string      `json:"grant"` // or a standing admission
	MAC   host.MAC    `json:"mac"`
	Disk  string      `json:"disk"`
	Claim host.Digest `json:"claim"`
	Time  time.Time   `json:"time"`
}

// verdict is what Open found out about the files: why open grants cannot be
// trusted; empty when they can.
type verdict struct {
	revoke string
	torn   int64
}

func (s *Store) openGrants() (verdict, error) {
	var v verdict
	var last start
	known := map[string]bool{}
	path := filepath.Join(s.dir, "grants.log")
	if err := removeStale(path); err != nil {
		return v, err
	}
	var err error
	s.grants, v.torn, err = openJournal(path, func(payload []byte) error {
		var r record
		if err := json.Unmarshal(payload, &r); err != nil {
			return err
		}
		if r.Start != nil {
			last = *r.Start
			known[last.Generation] = true
		}
		for _, b := range r.Burns {
			s.burned[b.Grant] = b
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	generation, err := s.generation()
	if err != nil {
		return v, err
	}
	next := start{Generation: rand.Text(), Time: s.now().UTC()}
	if next.Inode, next.Birth, err = identity(path); err != nil {
		return v, err
	}
	switch {
	case generation == "" && last.Generation == "": // a new folder
	case !known[generation]:
		v.revoke = "grants.log is missing or older than provision.db"
	case last.Inode != next.Inode || last.Birth != next.Birth:
		v.revoke = "the state folder was put back from a backup or copied"
	}
	payload, err := json.Marshal(record{Start: &next})
	if err != nil {
		return v, err
	}
	if err := s.grants.append(payload); err != nil {
		return v, err
	}
	return v, s.setGeneration(next.Generation)
}

// applyGuard brings hosts in line with grants.log.
func (s *Store) applyGuard(v verdict) error {
	if v.torn > 0 {
		if err := s.repaired("grants.log", v.torn); err != nil {
			return err
		}
	}
	for _, h := range s.Hosts() {
		if h.Grant == nil || !h.Grant.Burned.IsZero() {
			continue
		}
		var err error
		if b, used := s.burned[h.Grant.ID]; used {
			_, err = s.Change(h.MAC, "store", "its grant was used at "+b.Time.Format(time.RFC3339)+
				", as grants.log knows; provision.db did not: a crash, or an older copy of it", b.replay)
		} else if v.revoke != "" {
			_, err = s.Change(h.MAC, "store", "its grant was revoked: "+v.revoke, func(h *host.Host) error {
				return revoke(h, v.revoke+"; admit it again with provision enroll", s.now())
			})
		}
		if err != nil {
			return err
		}
	}
	return s.guardAdmissions(v.revoke)
}

// replay marks h's grant as used, as it was.
func (b burn) replay(h *host.Host) (err error) {
	if h.State == host.Admitted {
		if *h, err = h.Advance(host.Installing, b.Time); err != nil {
			return err
		}
	}
	h.Grant.Burned, h.Grant.Claim, h.Grant.Disk = b.Time, b.Claim, b.Disk
	return nil
}

// revoke takes the open grant from h. An admitted host goes back to Seen, held
// for the reason why.
func revoke(h *host.Host, why string, now time.Time) (err error) {
	if h.State != host.Admitted {
		h.Grant = nil
		return nil
	}
	*h, err = h.Hold(why, now)
	return err
}

// checkGrant refuses a grant that was used before, and returns the use that the
// step from old to h makes. The caller holds stage.
func (s *Store) checkGrant(old, h host.Host) (*burn, error) {
	refuse := func(why string) (*burn, error) {
		return nil, fmt.Errorf("%s: %w: %s", h.Label(), host.ErrGrant, why)
	}
	g := h.Grant
	entered := h.State == host.Installing && (old.State != host.Installing || !h.Since.Equal(old.Since))
	if g == nil {
		if entered {
			return refuse("it has none")
		}
		return nil, nil
	}
	was, used := s.burned[g.ID]
	switch {
	case g.ID == "":
		return refuse("it has no identifier")
	case g.Burned.IsZero() && used:
		return refuse("it was used at " + was.Time.Format(time.RFC3339) + "; make a new one with provision reinstall")
	case g.Burned.IsZero() && entered:
		return refuse("it is not marked as used")
	case g.Burned.IsZero():
		return nil, nil
	case entered && (old.Grant == nil || old.Grant.ID != g.ID || !old.Grant.Burned.IsZero()):
		return refuse("it was not open")
	case used && was.Claim != g.Claim:
		return refuse("another claim has used it")
	case used || old.Grant != nil && old.Grant.ID == g.ID && !old.Grant.Burned.IsZero():
		return nil, nil
	}
	return &burn{Grant: g.ID, MAC: h.MAC, Disk: g.Disk, Claim: g.Claim, Time: g.Burned.UTC()}, nil
}

func (s *Store) appendBurns(burns []burn) error {
	payload, err := json.Marshal(record{Burns: burns})
	if err != nil {
		return err
	}
	return s.grants.append(payload)
}

// identity tells one file from a copy of it.
func identity(path string) (inode uint64, birth int64, err error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		birth = st.Btime.Sec*int64(time.Second) + int64(st.Btime.Nsec)
	}
	return st.Ino, birth, nil
}

var keyGeneration = []byte("generation")

func (s *Store) generation() (g string, err error) {
	err = guarded(s.db.Path(), func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			g = string(tx.Bucket(bucketMeta).Get(keyGeneration))
			return nil
		})
	})
	return g, err
}

func (s *Store) setGeneration(g string) error {
	return guarded(s.db.Path(), func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			return tx.Bucket(bucketMeta).Put(keyGeneration, []byte(g))
		})
	})
}
