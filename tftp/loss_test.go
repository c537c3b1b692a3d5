package tftp_test

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"provision.internal/tftp"
)

// lossy passes packets between one client and a server, except those that spoil
// picks: it may drop one or send it twice. It gives each of the server's transfer ports
// a port of its own, as the real network does.
type lossy struct {
	t     *testing.T
	front *net.UDPConn
	spoil func(n int) (copies int) // n counts all packets from 1

	mu    sync.Mutex
	count int
}

// newLossy gives the proxy's address to send requests to.
func newLossy(t *testing.T, server netip.AddrPort, spoil func(n int) int) netip.AddrPort {
	l := &lossy{t: t, spoil: spoil}
	l.front = l.listen()
	go l.pump(l.front, func(p []byte, from netip.AddrPort) {
		// A request: the transfer lives on a socket pair of its own, and the
		// server learns its peer from back.
		back, side := l.listen(), l.listen()
		var tid netip.AddrPort
		var mu sync.Mutex
		go l.pump(back, func(p []byte, from2 netip.AddrPort) {
			mu.Lock()
			tid = from2
			mu.Unlock()
			l.pass(side, p, from)
		})
		go l.pump(side, func(p []byte, _ netip.AddrPort) {
			mu.Lock()
			to := tid
			mu.Unlock()
			l.pass(back, p, to)
		})
		l.pass(back, p, server)
	})
	return l.front.LocalAddr().(*net.UDPAddr).AddrPort()
}

func (l *lossy) listen() *net.UDPConn {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		l.t.Error(err)
		return nil
	}
	l.t.Cleanup(func() { c.Close() })
	return c
}

func (l *lossy) pump(c *net.UDPConn, handle func([]byte, netip.AddrPort)) {
	buf := make([]byte, 2048)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		handle(bytes.Clone(buf[:n]), from)
	}
}

func (l *lossy) pass(c *net.UDPConn, p []byte, to netip.AddrPort) {
	l.mu.Lock()
	l.count++
	copies := l.spoil(l.count)
	l.mu.Unlock()
	for range copies {
		// An error is one more loss.
		_, _ = c.WriteToUDPAddrPort(p, to)
	}
}

// Lost requests, answers, blocks and acknowledgements cost time only; and packets
// that arrive twice are not multiplied, which is what RFC 1123 calls the
// sorcerer's apprentice.
func TestLostAndDoubledPackets(t *testing.T) {
	data := noise(120 * 512)
	for name, spoil := range map[string]func(n int) int{
		"first request lost": func(n int) int { return min(n-1, 1) },
		"answer lost":        func(n int) int { return map[bool]int{true: 0, false: 1}[n == 2] },
		"every 61st lost":    func(n int) int { return min(n%61, 1) },
		"every one doubled":  func(int) int { return 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := serve(t, &tftp.Server{Files: loader(data)})
			got, err := newPeer(t, newLossy(t, v.addr, spoil)).fetch("snponly.efi", 512, 300*time.Millisecond)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("fetch: %d of %d bytes, %v", len(got), len(data), err)
			}
		})
	}
}
