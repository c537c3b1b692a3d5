package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"provision.internal/dhcp"
	"provision.internal/tftp"
	"provision.internal/web"
)

// ends are all that the daemon listens on. They are opened together and before
// anything starts, so that a port in use stops the daemon at once, and every
// such fault is told.
type ends struct {
	web         net.Listener
	dhcp        *dhcp.Sockets
	tftp        net.PacketConn
	http, https net.Listener
}

func listen(cfg Config) (*ends, error) {
	var e ends
	var err [5]error
	e.web, err[0] = web.Listen(cfg.Server.Socket)
	e.dhcp, err[1] = dhcp.Listen(cfg.dhcpConfig())
	if conn, tftpErr := tftp.Listen(cfg.Server.TFTP); tftpErr == nil {
		e.tftp = conn // a nil *net.UDPConn would be an end that is not nil
	} else {
		err[2] = tftpErr
	}
	e.http, err[3] = listenTCP("http", cfg.Server.HTTP)
	e.https, err[4] = listenTCP("https", cfg.Server.HTTPS)
	if fault := errors.Join(err[:]...); fault != nil {
		e.close()
		return nil, fault
	}
	return &e, nil
}

func listenTCP(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use%s; stop what holds it, or set server.%s", key, address, holder("tcp", port(address)), key)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: no interface has the address of %s; give it to one, or set server.%s", key, address, key)
	case err != nil:
		return nil, fmt.Errorf("%s: %w; run as root, or set server.%s", key, err, key)
	}
	return l, nil
}

// close is for ends whose parts were never started: a part closes its own.
func (e *ends) close() {
	for _, c := range []interface{ Close() error }{e.web, e.tftp, e.http, e.https} {
		if c != nil {
			_ = c.Close() // nothing was sent
		}
	}
	if e.dhcp != nil {
		_ = e.dhcp.Close() // likewise
	}
}

// makeState makes the state folder, which holds secrets.
func makeState(dir string) error {
	for _, d := range []string{dir, filepath.Join(dir, "images"), filepath.Join(dir, "authority")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("state folder: %w; make it, or name another server.state", err)
		}
	}
	return nil
}
