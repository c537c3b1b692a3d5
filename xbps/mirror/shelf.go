package mirror

import (
	"container/list"
	"context"
	"crypto/sha256"
	"io"
	"sync"
	"time"
)

const (
	// shelved is the largest file on a shelf, in bytes. Most packages are smaller, and
	// opening and closing one takes longer than sending it.
	shelved = 64 << 10
	// maxShelf bounds what is on a shelf, in bytes.
	maxShelf = 8 << 20
	// shelfItemSize is about what an item takes beside its content, in bytes.
	shelfItemSize = 256
)

// shelf holds small files that were found right, those that were asked for last. It is not
// told what happens to them on the disk: their content is what their digest says, and
// stays so.
type shelf struct {
	mu    sync.Mutex
	items map[shelfKey]*list.Element // of *shelfItem
	order list.List                  // of last use, the newest first
	bytes int
}

// shelfKey names a package, or the signature of one.
type shelfKey struct {
	sum       digest
	signature bool
}

type shelfItem struct {
	shelfKey
	small
}

// small is a file whose content is in memory. Nobody changes it.
type small struct {
	content  []byte
	modified time.Time
}

func (s *shelf) get(k shelfKey) (small, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.items[k]
	if !ok {
		return small{}, false
	}
	s.order.MoveToFront(e)
	return e.Value.(*shelfItem).small, true
}

// put adds a verified file, and removes those that were asked for least recently until all fit.
func (s *shelf) put(k shelfKey, f small) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items == nil {
		s.items = map[shelfKey]*list.Element{}
	}
	if _, ok := s.items[k]; ok || len(f.content) > shelved {
		return
	}
	s.items[k] = s.order.PushFront(&shelfItem{k, f})
	s.bytes += len(f.content) + shelfItemSize
	for s.bytes > maxShelf {
		s.remove(s.order.Back().Value.(*shelfItem).shelfKey)
	}
}

// forget removes a package that is no longer kept, and its signature.
func (s *shelf) forget(sum digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(shelfKey{sum, false})
	s.remove(shelfKey{sum, true})
}

// remove is called with s.mu held.
func (s *shelf) remove(k shelfKey) {
	if e, ok := s.items[k]; ok {
		s.bytes -= len(e.Value.(*shelfItem).content) + shelfItemSize
		s.order.Remove(e)
		delete(s.items, k)
	}
}

// onShelf returns the package r from the shelf, and puts it there first if it is small and
// kept. Any other is not ok.
func (m *Mirror) onShelf(ctx context.Context, r row) (_ small, ok bool) {
	if r.size > shelved {
		return small{}, false
	}
	k := shelfKey{sum: r.sum}
	if s, ok := m.shelf.get(k); ok {
		return s, true
	}
	f, info, err := m.openKept(ctx, r)
	if err != nil {
		return small{}, false // obtain meets the same, and can tell or help
	}
	defer f.Close()
	s := small{make([]byte, r.size), info.ModTime()}
	if _, err := io.ReadFull(f, s.content); err != nil || sha256.Sum256(s.content) != r.sum {
		m.checked.Delete(r.sum) // somebody writes to it right now: obtain checks it anew
		return small{}, false
	}
	m.shelf.put(k, s)
	return s, true
}
