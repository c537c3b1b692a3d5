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

// leaseLog is leases.log and the leases that it adds up to: the last one of
// each address. It stands apart from provision.db because a lease must be
// durable before its acknowledgement leaves, many thousand times a second.
type leaseLog struct {
	mu      sync.Mutex
	journal *journal
	held    map[netip.Addr]host.Lease
	limit   int64          // compact when the journal grows above it
	compact sync.WaitGroup // a compaction under way
	busy    bool
	closed  bool
}

func openLeases(dir string) (_ *leaseLog, torn int64, err error) {
	l := &leaseLog{held: map[netip.Addr]host.Lease{}}
	path := filepath.Join(dir, "leases.log")
	if err := removeStale(path); err != nil {
		return nil, 0, err
	}
	l.journal, torn, err = openJournal(path, func(payload []byte) error { return decodeLeases(payload, l.held) })
	if err != nil {
		return nil, 0, err
	}
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
// address again.
func (s *Store) Leases() []host.Lease {
	l := s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]host.Lease, 0, len(l.held))
	for _, lease := range l.held {
		all = append(all, lease)
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
	for _, lease := range leases {
		lease.Address = lease.Address.Unmap()
		l.held[lease.Address] = lease
	}
	if l.journal.size > l.limit && !l.busy {
		l.busy = true
		path, size := l.journal.path, l.journal.size
		l.compact.Go(func() { l.rewrite(path, size) })
	}
	return nil
}

// A lease is stored as flags 1 | MAC 6 | address 16 | Unix seconds 8 |
// nanoseconds 4. IPv4 addresses are stored mapped.
const (
	leaseSize    = 35
	flagDeclined = 1 << 0
	flagExpires  = 1 << 1 // without it Expires is the zero time
)

func appendLease(b []byte, l host.Lease) []byte {
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
	address := l.Address.As16()
	b = append(b, address[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(seconds))
	return binary.BigEndian.AppendUint32(b, nanos)
}

func decodeLeases(b []byte, into map[netip.Addr]host.Lease) error {
	if len(b)%leaseSize != 0 {
		return fmt.Errorf("%d bytes are no whole number of leases", len(b))
	}
	for ; len(b) > 0; b = b[leaseSize:] {
		l := host.Lease{
			MAC:      host.MAC(b[1:7]),
			Address:  netip.AddrFrom16([16]byte(b[7:23])).Unmap(),
			Declined: b[0]&flagDeclined != 0,
		}
		if b[0]&flagExpires != 0 {
			l.Expires = time.Unix(int64(binary.BigEndian.Uint64(b[23:])), int64(binary.BigEndian.Uint32(b[31:])))
		}
		into[l.Address] = l
	}
	return nil
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
	held := map[netip.Addr]host.Lease{}
	if _, _, err := readFrames(data, func(b []byte) error { return decodeLeases(b, held) }); err != nil {
		return nil, err
	}
	payload := make([]byte, 0, len(held)*leaseSize)
	for _, lease := range held {
		payload = appendLease(payload, lease)
	}
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: diskFile{f}, path: path, size: int64(len(journalHeader))}
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
