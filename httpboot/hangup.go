package httpboot

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// hangups are connections that must not outlive their answer. GRUB opens one for
// each file, closes none, and numbers its ports from 21550 at every start: a
// machine that is reset while the server still has its last connection gets no
// new one, and waits 20 s for each file.
type hangups struct {
	conns sync.Map // net.Conn → struct{}
}

type connKey struct{}

// note remembers the connection of a request of GRUB's.
func (h *hangups) note(r *http.Request) {
	if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok && strings.HasPrefix(r.UserAgent(), "GRUB ") {
		h.conns.Store(conn, struct{}{})
	}
}

// hangup is a server's ConnState hook.
func (h *hangups) hangup(conn net.Conn, state http.ConnState) {
	if state != http.StateIdle && state != http.StateClosed {
		return
	}
	_, noted := h.conns.LoadAndDelete(conn)
	if g, ok := conn.(*gathered); ok {
		conn = g.tcpConn
	}
	if tcp, ok := conn.(*net.TCPConn); noted && ok && state == http.StateIdle {
		reset(tcp)
	}
}

// ackLimit is how long a machine may take to acknowledge an answer's end. GRUB
// acknowledges while it reads.
const ackLimit = time.Minute

// reset forgets a connection once the other side has all that was sent. An
// orderly end would leave it half-closed, since GRUB does not close its half.
func reset(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	for end := time.Now().Add(ackLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left := 0
		if raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }) != nil || err != nil || left == 0 {
			break
		}
	}
	_ = conn.SetLinger(0) // without it the close below is an orderly one
	_ = conn.Close()      // net/http closes it once more and learns that it is gone
}
