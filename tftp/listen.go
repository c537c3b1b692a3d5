package tftp

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// receiveBuffer holds the requests of a rack that is powered on at once. At the
// default size the kernel drops part of 1,000 requests, and a firmware repeats its own
// only after seconds.
const receiveBuffer = 4 << 20

// Listen opens the port that Server.Conn is for. It is separate from Server.Run so that
// a port in use is known before anything else starts.
func Listen(address string) (*net.UDPConn, error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for TFTP on %q: %w; want HOST:PORT or :PORT", address, err)
	}
	// An IPv4 socket where no IPv6 address is asked for: "udp" listens on [::],
	// which a kernel without IPv6 does not have.
	network := "udp"
	if addr.IP == nil || addr.IP.To4() != nil {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, addr)
	if err != nil {
		return nil, fmt.Errorf("listen for TFTP on %s: %w%s", address, err, advice(err, addr.Port))
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { growBuffer(int(fd)) })
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("listen for TFTP on %s: %w", address, err)
	}
	return conn, nil
}

// growBuffer asks for receiveBuffer. The forced size needs CAP_NET_ADMIN; without
// it the kernel gives what net.core.rmem_max allows, which costs retries in a
// storm but no boot, and so is no error.
func growBuffer(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
}

// advice says what a person can do about err, beginning with a semicolon.
func advice(err error, port int) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("; another TFTP server has the port (dnsmasq, tftpd-hpa, another provision?): find it with `ss -ulpn 'sport = :%d'` and stop it, or set server.tftp to another address", port)
	case errors.Is(err, syscall.EACCES):
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; no interface has this address: see `ip address`, and set server.tftp"
	}
	return ""
}
