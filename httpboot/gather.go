package httpboot

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Gather returns l for a server of NewHTTPServer's without TLS. It lets an answer's header
// leave together with its content: net/http sends the header by itself, and the machine wakes
// up for it.
func Gather(l net.Listener) net.Listener { return gatherer{l} }

type gatherer struct{ net.Listener }

func (g gatherer) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if tcp, ok := c.(tcpConn); ok {
		return &gathered{tcpConn: tcp}, nil
	}
	return c, err
}

// tcpConn is what net/http and this package use of a *net.TCPConn.
type tcpConn interface {
	net.Conn
	io.ReaderFrom
	syscall.Conn
	CloseWrite() error
}

// gathered is a connection that can hold a header back until its content comes. One
// goroutine at a time writes to it, as it is with net/http.
type gathered struct {
	tcpConn
	held *gatherBuffer // nil when nothing is to be held back
}

// gatherBuffer has room for a header and the content of a small file.
type gatherBuffer struct {
	bytes [maxHeader + maxGathered]byte
	n     int // bytes held
}

const (
	maxHeader = 4 << 10
	// maxGathered is the size up to which content is copied behind its header, in bytes. Beyond
	// it the kernel, which sends files by itself, is faster.
	maxGathered = 64 << 10
)

var gatherBuffers = sync.Pool{New: func() any { return new(gatherBuffer) }}

// hold has what is written wait for ReadFrom or release, as far as it may be a header.
func (c *gathered) hold() {
	c.held = gatherBuffers.Get().(*gatherBuffer)
	c.held.n = 0
}

// release sends what is held back.
func (c *gathered) release() error {
	if c.held == nil {
		return nil
	}
	_, err := c.send(0)
	return err
}

// Write implements net.Conn.
func (c *gathered) Write(p []byte) (int, error) {
	if b := c.held; b != nil && b.n+len(p) <= maxHeader {
		b.n += copy(b.bytes[b.n:], p)
		return len(p), nil
	}
	if err := c.release(); err != nil {
		return 0, err
	}
	return c.tcpConn.Write(p)
}

// ReadFrom implements io.ReaderFrom. net/http calls it for content whose header is written.
func (c *gathered) ReadFrom(src io.Reader) (int64, error) {
	if c.held == nil {
		return c.tcpConn.ReadFrom(src)
	}
	if l, ok := src.(*io.LimitedReader); !ok || l.N > maxGathered {
		if err := c.announce(); err != nil {
			return 0, err
		}
		return c.tcpConn.ReadFrom(src)
	}
	// Once: a package that is being fetched comes in pieces, and they must not wait for each other.
	n, err := src.Read(c.held.bytes[c.held.n:])
	sent, fault := c.send(n)
	if fault != nil || errors.Is(err, io.EOF) {
		return sent, fault
	}
	if err != nil {
		return sent, err
	}
	rest, err := c.tcpConn.ReadFrom(src)
	return sent + rest, err
}

// send sends what is held back and the next more bytes of its buffer, and returns how many of
// these were sent.
func (c *gathered) send(more int) (int64, error) {
	b := c.held
	c.held = nil
	defer gatherBuffers.Put(b)
	if b.n+more == 0 {
		return 0, nil
	}
	n, err := c.tcpConn.Write(b.bytes[:b.n+more])
	return int64(max(0, n-b.n)), err
}

// announce gives what is held back to the kernel, which sends it with what is written next.
func (c *gathered) announce() error {
	b := c.held
	c.held = nil
	defer gatherBuffers.Put(b)
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	head, fault := b.bytes[:b.n], error(nil)
	err = raw.Write(func(fd uintptr) bool {
		for len(head) > 0 && fault == nil {
			n, err := unix.SendmsgN(int(fd), head, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return false // and again when there is room
			case err != nil && !errors.Is(err, unix.EINTR):
				fault = os.NewSyscallError("sendmsg", err)
			case err == nil:
				head = head[n:]
			}
		}
		return true
	})
	return errors.Join(err, fault)
}
