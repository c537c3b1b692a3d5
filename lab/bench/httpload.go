package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"

	"provision.internal/dhcp/dhcptest"
)

// httpLoad is a number of clients that each fetch files over and over on one
// connection.
type httpLoad struct {
	Server  netip.AddrPort
	Files   []webFile
	Clients int
	Repeat  int
}

// webFile is a file and how large it must be.
type webFile struct {
	path string
	size int64
}

// readBuffer is large where few clients read, as their kernels' would be.
func (l httpLoad) readBuffer() int {
	if l.Clients > 100 {
		return 64 << 10
	}
	return 256 << 10
}

// run connects every client first, so that they start as one.
func (l httpLoad) run(ctx context.Context, namespace string) (transferred, error) {
	var conns []net.Conn
	defer func() { closeAll(conns) }()
	err := dhcptest.Inside(namespace, func() error {
		for range l.Clients {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", l.Server.String())
			if err != nil {
				return err
			}
			conns = append(conns, c)
		}
		return nil
	})
	if err != nil {
		return transferred{}, err
	}
	return crowd(ctx, l.Clients, conns, func(own []net.Conn) (int64, error) { return l.client(own[0]) })
}

// client is one of them.
func (l httpLoad) client(c net.Conn) (int64, error) {
	var total int64
	r := bufio.NewReader(c)
	buf := make([]byte, l.readBuffer())
	for range l.Repeat {
		for _, f := range l.Files {
			n, err := l.fetch(c, r, f, buf)
			total += n
			if err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

// fetch reads one file to its end.
func (l httpLoad) fetch(c net.Conn, r *bufio.Reader, f webFile, buf []byte) (int64, error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", f.path, l.Server.Addr()); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err
	}
	n, err := drain(res.Body, buf)
	res.Body.Close()
	switch {
	case err != nil:
		return n, err
	case res.StatusCode != http.StatusOK:
		return n, fmt.Errorf("GET %s: %s", f.path, res.Status)
	case n != f.size:
		return n, fmt.Errorf("GET %s: %d of %d bytes", f.path, n, f.size)
	}
	return n, nil
}

// drain reads to the end. io.Copy to io.Discard would read 8 kB at a time.
func drain(r io.Reader, buf []byte) (int64, error) {
	var total int64
	for {
		n, err := r.Read(buf)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
