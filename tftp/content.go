package tftp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"sync"
	"time"
)

const (
	// sharedLimit is the size up to which a file is read whole. A boot loader fits; BIOS
	// loaders must stay below 500 kB anyway.
	sharedLimit = 4 << 20
	// readAhead saves 21 of 22 reads of a larger file.
	readAhead = 32 << 10
)

// shelf holds the small files that are being transferred. A rack that is powered on
// asks for one loader a thousand times: it is read once, and its blocks come from
// memory instead of a read call each, a tenth of a transfer's cost. Nothing
// stays when the last transfer has ended.
type shelf struct {
	files fs.FS
	mu    sync.Mutex
	books map[edition]*book
}

// edition is one content of a file, as far as its directory tells.
type edition struct {
	name    string
	size    int64
	changed time.Time
}

type book struct {
	readers int // needs shelf.mu
	load    sync.Once
	data    []byte
	err     error
}

// content is a file open for one transfer.
type content struct {
	io.Reader
	size  int64
	close func()
}

// open gives a regular file. What else is below the root is not even opened: that could
// block for ever on a FIFO, and a device has no end.
func (s *shelf) open(name string) (*content, error) {
	info, err := fs.Stat(s.files, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNotFound
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNotFound
	case info.Size() > sharedLimit:
		f, err := s.files.Open(name)
		if err != nil {
			return nil, err
		}
		return &content{bufio.NewReaderSize(f, readAhead), info.Size(), func() { f.Close() }}, nil
	}
	e := edition{name, info.Size(), info.ModTime()}
	b := s.take(e)
	b.load.Do(func() { b.data, b.err = fs.ReadFile(s.files, name) })
	if b.err != nil {
		s.leave(e, b)
		return nil, b.err
	}
	return &content{bytes.NewReader(b.data), int64(len(b.data)), func() { s.leave(e, b) }}, nil
}

func (s *shelf) take(e edition) *book {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.books[e]
	if b == nil {
		b = new(book)
		s.books[e] = b
	}
	b.readers++
	return b
}

func (s *shelf) leave(e edition, b *book) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.readers--; b.readers == 0 {
		delete(s.books, e)
	}
}
