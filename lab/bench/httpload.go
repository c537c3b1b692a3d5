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

// httpLoad is a number of clients that each fetch one file over and over on one
// connection.
type httpLoad struct {
	Server  netip.AddrPort
	Path    string
	Size    int64
	Clients int
	Repeat  int
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
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", l.Path, l.Server.Addr()); err != nil {
			return total, err
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return total, err
		}
		n, err := drain(res.Body, buf)
		res.Body.Close()
		total += n
		switch {
		case err != nil:
			return total, err
		case res.StatusCode != http.StatusOK:
			return total, fmt.Errorf("GET %s: %s", l.Path, res.Status)
		case n != l.Size:
			return total, fmt.Errorf("GET %s: %d of %d bytes", l.Path, n, l.Size)
		}
	}
	return total, nil
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
