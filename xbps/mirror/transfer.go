package mirror

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"time"
)

// transfer is one package file on its way from upstream, which any number of
// clients read while it arrives. Its last bytes are held back until all of it is verified, so
// that no client ever has the whole of a wrong file.
type transfer struct {
	row
	path  string        // below upstream
	ready chan struct{} // closed when upstream has begun to send, or will not
	// modified is upstream's; set before ready is closed.
	modified time.Time

	mu      sync.Mutex
	more    chan struct{} // closed, and replaced, when have or over change
	have    int64         // bytes that clients may have
	over    bool
	err     error // why it is over before its end
	file    *os.File
	readers int
}

// withheld are the bytes at the end that wait for the verdict.
const withheld = 64 << 10

// fetch returns the transfer of r, which it starts unless one is under way; nil
// when r has been kept in the meantime. The caller must release it.
func (m *Mirror) fetch(ctx context.Context, r row, path, key string) (*transfer, error) {
	m.mu.Lock()
	if t, ok := m.transfers[r.sum]; ok && t.hold() {
		m.mu.Unlock()
		return t, nil
	}
	if _, err := os.Stat(m.packagePath(r.sum)); !errors.Is(err, fs.ErrNotExist) {
		m.mu.Unlock()
		return nil, err
	}
	t := &transfer{row: r, path: path, ready: make(chan struct{}), more: make(chan struct{}), readers: 2}
	m.transfers[r.sum] = t
	m.mu.Unlock()
	err := m.begin(ctx, func(ctx context.Context) {
		err := m.bring(ctx, t, key)
		m.complain(err)
		m.forget(t)
		t.end(err)
		t.release()
	})
	if err != nil {
		m.forget(t)
		t.end(err) // others may wait already
		return nil, err
	}
	return t, nil
}

// forget ends that others join t.
func (m *Mirror) forget(t *transfer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.transfers[t.sum] == t {
		delete(m.transfers, t.sum)
	}
}

// begun tells the clients that they can have the file.
func (t *transfer) begun(res *http.Response) {
	select {
	case <-t.ready:
		return // it began before, and broke
	default:
	}
	if at, err := http.ParseTime(res.Header.Get("Last-Modified")); err == nil {
		t.modified = at
	}
	close(t.ready)
}

// grow lets clients have what has arrived, but for the end.
func (t *transfer) grow(arrived int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if have := min(arrived, t.size-min(t.size, withheld)); have > t.have {
		t.have = have
		close(t.more)
		t.more = make(chan struct{})
	}
}

// end lets the clients have the rest, or tells them that there is none.
func (t *transfer) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over, t.err = true, err
	if err == nil {
		t.have = t.size
	}
	close(t.more)
	select {
	case <-t.ready:
	default:
		close(t.ready)
	}
}

// hold adds a reader; false when the transfer is over and its file may be closed.
func (t *transfer) hold() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	t.readers++
	return true
}

// release ends one hold.
func (t *transfer) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers--; t.readers == 0 && t.file != nil {
		_ = t.file.Close() // what was written is verified or thrown away
	}
}

// wait returns how many bytes there are, once they are more than at.
func (t *transfer) wait(ctx context.Context, at int64) (int64, error) {
	for {
		t.mu.Lock()
		have, over, err, more := t.have, t.over, t.err, t.more
		t.mu.Unlock()
		switch {
		case have > at:
			return have, nil
		case over && err != nil:
			return 0, err
		case over:
			return 0, io.EOF
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// failed returns why t ended before its end, as far as that is known.
func (t *transfer) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// feed reads a transfer as far as it has come, and waits for the rest.
type feed struct {
	*transfer
	ctx context.Context // of the request that is answered
	at  int64
}

func (f *feed) Read(b []byte) (int, error) {
	if f.at >= f.size {
		return 0, io.EOF
	}
	have, err := f.wait(f.ctx, f.at)
	if err != nil {
		return 0, err
	}
	n, err := f.file.ReadAt(b[:min(int64(len(b)), have-f.at)], f.at)
	f.at += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // there must be as much
	}
	return n, err
}

func (f *feed) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start")
	}
	f.at = offset
	return offset, nil
}
