package store

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"provision.internal/host"
)

// compactAbove is the size of leases.log below which rewriting it gains
// nothing.
const compactAbove = 4 << 20

// zerosAhead are 15,000 leases that are committed one by one.
const zerosAhead = 1 << 20

// leaseLog is leases.log and the leases that it adds up to: the last one of
// each address. It stands apart from provision.db because a lease must be
// durable before its acknowledgement leaves, many thousand times a second.
type leaseLog struct {
	mu      sync.Mutex
	journal *journal
	held    heldLeases
	limit   int64          // compact when the journal grows above it
	compact sync.WaitGroup // a compaction under way
	busy    bool
	closed  bool
}

func openLeases(dir string) (_ *leaseLog, torn int64, err error) {
	l := &leaseLog{held: heldLeases{}}
	path := filepath.Join(dir, "leases.log")
	if err := removeStale(path); err != nil {
		return nil, 0, err
	}
	l.journal, torn, err = openJournal(path, l.held.replay)
	if err != nil {
		return nil, 0, err
	}
	l.journal.ahead = zerosAhead
	l.limit = l.nextLimit()
	return l, torn, nil
}

// removeStale removes what an interrupted rewrite of path left.
func removeStale(path string) error {
	if err := os.Remove(path + ".new"); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// Leases returns the last lease of every address, in the order of addresses.
// Released and expired ones are among them, so that a host can have its old
// address again; and leases that were only offered, since they are stored before the
// host takes them: a lease here says that the address is kept, not that it is
// used.
func (s *Store) Leases() []host.Lease {
	l := s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]host.Lease, 0, len(l.held))
	for address, value := range l.held {
		all = append(all, value.lease(address))
	}
	slices.SortFunc(all, func(a, b host.Lease) int { return a.Address.Compare(b.Address) })
	return all
}

// CommitLeases makes leases durable, all of them or none, with one write and
// one sync. A later lease of an address replaces the earlier one.
func (s *Store) CommitLeases(leases []host.Lease) error {
	if len(leases) == 0 {
		return nil
	}
	payload := make([]byte, 0, len(leases)*leaseSize)
	for _, lease := range leases {
		if !lease.Address.IsValid() || lease.MAC.IsZero() {
			return fmt.Errorf("lease of %s for %s: both must be set", lease.Address, lease.MAC)
		}
		payload = appendLease(payload, lease)
	}
	l := s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if err := l.journal.append(payload); err != nil {
		return fmt.Errorf("store %d leases: %w", len(leases), explain(err, s.dir))
	}
	l.held.put(payload)
	if l.journal.size > l.limit && !l.busy {
		l.busy = true
		path, size := l.journal.path, l.journal.size
		l.compact.Go(func() { l.rewrite(path, size) })
	}
	return nil
}

// A lease is stored, on the disk and in memory, as
//
//	address 16 (IPv4 mapped) | flags 1 | MAC 6 | Unix seconds 8 | nanoseconds 4
//
// In memory that is a third of a host.Lease, and nothing that the garbage
// collector has to follow.
const (
	leaseSize    = 16 + 19
	flagDeclined = 1 << 0
	flagExpires  = 1 << 1 // without it Expires is the zero time
)

type (
	leaseKey   [16]byte
	leaseValue [leaseSize - 16]byte
	heldLeases map[leaseKey]leaseValue
)

func appendLease(b []byte, l host.Lease) []byte {
	address := l.Address.As16()
	b = append(b, address[:]...)
	var flags byte
	var seconds int64
	var nanos uint32
	if l.Declined {
		flags |= flagDeclined
	}
	if !l.Expires.IsZero() {
		flags |= flagExpires
		seconds, nanos = l.Expires.Unix(), uint32(l.Expires.Nanosecond())
	}
	b = append(b, flags)
	b = append(b, l.MAC[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(seconds))
	return binary.BigEndian.AppendUint32(b, nanos)
}

// put takes over stored leases.
func (h heldLeases) put(b []byte) {
	for ; len(b) >= leaseSize; b = b[leaseSize:] {
		h[leaseKey(b)] = leaseValue(b[16:])
	}
}

// replay takes over a payload of the journal.
func (h heldLeases) replay(b []byte) error {
	if len(b)%leaseSize != 0 {
		return fmt.Errorf("%d bytes are no whole number of leases", len(b))
	}
	h.put(b)
	return nil
}

func (v leaseValue) lease(address leaseKey) host.Lease {
	l := host.Lease{
		Address:  netip.AddrFrom16(address).Unmap(),
		MAC:      host.MAC(v[1:]),
		Declined: v[0]&flagDeclined != 0,
	}
	if v[0]&flagExpires != 0 {
		l.Expires = time.Unix(int64(binary.BigEndian.Uint64(v[7:])), int64(binary.BigEndian.Uint32(v[15:])))
	}
	return l
}

// nextLimit lets the journal grow to four times what its leases need.
func (l *leaseLog) nextLimit() int64 {
	return max(compactAbove, 4*int64(len(l.held)*leaseSize))
}

// rewrite replaces the journal by one without what later leases replaced. It
// reads the file's first size bytes, which no longer change, and takes the lock
// only to copy what was appended meanwhile. A rewrite that does not succeed
// leaves the old journal in use; the next one is tried when it has grown again.
func (l *leaseLog) rewrite(path string, size int64) {
	next, err := rewriteLeases(path, size)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	if err == nil {
		err = l.swap(next, size)
	}
	if err != nil {
		l.limit = 2 * l.journal.size
		return
	}
	l.limit = l.nextLimit()
}

// rewriteLeases writes the leases of the first size bytes of the journal at
// path to a new file beside it.
func rewriteLeases(path string, size int64) (*journal, error) {
	data := make([]byte, size)
	old, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer old.Close()
	if _, err := old.ReadAt(data, 0); err != nil {
		return nil, err
	}
	held := heldLeases{}
	if _, _, err := readFrames(data, held.replay); err != nil {
		return nil, err
	}
	payload := make([]byte, 0, len(held)*leaseSize)
	for address, value := range held {
		payload = append(append(payload, address[:]...), value[:]...)
	}
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: diskFile{f}, path: path, size: int64(len(journalHeader)), ahead: zerosAhead}
	_, err = f.WriteAt([]byte(journalHeader), 0)
	for chunk := range slices.Chunk(payload, maxFrame/leaseSize*leaseSize) {
		err = cmp.Or(err, j.append(chunk))
	}
	if err != nil {
		return nil, cmp.Or(err, f.Close())
	}
	return j, nil
}

// swap takes next into use after what was appended behind from has been copied
// to it. The rename must be durable before the next append: a crash would
// otherwise bring back a file without it.
func (l *leaseLog) swap(next *journal, from int64) error {
	path := l.journal.path
	tail := make([]byte, l.journal.size-from)
	err := readAt(path, tail, from)
	var late []byte
	for err == nil && len(tail) > 0 {
		payload, _, ok := readFrame(tail)
		if !ok {
			return cmp.Or(next.close(), fmt.Errorf("%s: %w", path, ErrDamaged))
		}
		late = append(late, payload...)
		tail = tail[frameHead+len(payload):]
	}
	if err == nil && len(late) > 0 {
		err = next.append(late)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return cmp.Or(err, next.close())
	}
	old := l.journal
	l.journal = next
	return cmp.Or(syncDir(filepath.Dir(path)), old.close())
}

func readAt(path string, b []byte, from int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(b, from)
	return err
}

func (l *leaseLog) close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.compact.Wait()
	return l.journal.close()
}
