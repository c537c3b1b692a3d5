package tftp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"provision.internal/tftp"
)

// patience bounds every wait in these tests. It is far above what any takes.
const patience = 20 * time.Second

// served is a running server and what it has reported.
type served struct {
	*tftp.Server
	addr netip.AddrPort
	stop func() error // ends Run and gives its result; once

	mu   sync.Mutex
	done []tftp.Transfer
}

// serve runs s on a loopback port until the test ends. Files must be set.
func serve(t testing.TB, s *tftp.Server) *served {
	t.Helper()
	conn, err := tftp.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &served{Server: s, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	s.Conn = conn
	s.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s.Done = func(d tftp.Transfer) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.done = append(v.done, d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx) }()
	v.stop = sync.OnceValue(func() error {
		cancel()
		return <-result
	})
	t.Cleanup(func() {
		if err := v.stop(); err != nil {
			t.Errorf("Run = %v, want nil after the context's end", err)
		}
	})
	return v
}

// finished waits for n transfers to have ended.
func (v *served) finished(t *testing.T, n int) []tftp.Transfer {
	t.Helper()
	var got []tftp.Transfer
	waitFor(t, fmt.Sprintf("%d finished transfers", n), func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		got = append([]tftp.Transfer(nil), v.done...)
		return len(got) >= n
	})
	return got
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s after %v", what, patience)
		}
	}
}

// noise is n bytes that compress badly and repeat at no block's border.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

// loader is a file system with one boot loader.
func loader(data []byte) fs.FS {
	return fstest.MapFS{"snponly.efi": &fstest.MapFile{Data: data, Mode: 0o644}}
}

// peer is a client that does exactly what it is told.
type peer struct {
	t    testing.TB
	conn *net.UDPConn
	to   netip.AddrPort
	buf  []byte
}

func newPeer(t testing.TB, to netip.AddrPort) *peer {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &peer{t, conn, to, make([]byte, 65536)}
}

// ask sends a read request with options as name, value, ….
func (p *peer) ask(file string, options ...string) {
	p.t.Helper()
	b := []byte("\x00\x01" + file + "\x00octet\x00")
	for _, o := range options {
		b = append(append(b, o...), 0)
	}
	p.send(b, p.to)
}

func (p *peer) send(b []byte, to netip.AddrPort) {
	p.t.Helper()
	if _, err := p.conn.WriteToUDPAddrPort(b, to); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) ack(block uint16, to netip.AddrPort) {
	p.t.Helper()
	p.send([]byte{0, 4, byte(block >> 8), byte(block)}, to)
}

// abort sends the ERROR with which EDK2 ends its size probe.
func (p *peer) abort(to netip.AddrPort) {
	p.t.Helper()
	p.send([]byte("\x00\x05\x00\x08User aborted the transfer\x00"), to)
}

// receive gives the next packet, which is valid until the next call, or ok false after
// wait.
func (p *peer) receive(wait time.Duration) (b []byte, from netip.AddrPort, ok bool) {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(wait))
	n, from, err := p.conn.ReadFromUDPAddrPort(p.buf)
	return p.buf[:n], from, err == nil
}

// want gives the next packet, which must have operation code op.
func (p *peer) want(op uint16) (b []byte, from netip.AddrPort) {
	p.t.Helper()
	b, from, ok := p.receive(patience)
	if !ok {
		p.t.Fatalf("no answer, want operation %d", op)
	}
	if got := binary.BigEndian.Uint16(b); got != op {
		p.t.Fatalf("got %q, want operation %d", b, op)
	}
	return b, from
}

// fetch gets a file as firmware does, repeating what seems lost after again.
func (p *peer) fetch(file string, block int, again time.Duration) ([]byte, error) {
	p.t.Helper()
	p.ask(file, "tsize", "0", "blksize", strconv.Itoa(block))
	var data []byte
	var tid netip.AddrPort
	size, want := 512, uint16(1)
	for idle := time.Duration(0); idle < patience; {
		b, from, ok := p.receive(again)
		if !ok {
			idle += again
		}
		switch {
		case !ok && tid.IsValid():
			p.ack(want-1, tid)
			continue
		case !ok:
			p.ask(file, "tsize", "0", "blksize", strconv.Itoa(block))
			continue
		case tid.IsValid() && from != tid:
			continue
		}
		switch op := binary.BigEndian.Uint16(b); {
		case op == 5:
			return data, fmt.Errorf("error %d: %s", binary.BigEndian.Uint16(b[2:]), b[4:])
		case op == 6 && len(data) == 0:
			tid = from
			for f := bytes.Split(b[2:], []byte{0}); len(f) > 1; f = f[2:] {
				if string(f[0]) == "blksize" {
					size, _ = strconv.Atoi(string(f[1]))
				}
			}
			p.ack(0, tid)
		case op == 3 && binary.BigEndian.Uint16(b[2:]) == want:
			tid = from
			idle = 0
			data = append(data, b[4:]...)
			p.ack(want, tid)
			if want++; len(b)-4 < size {
				return data, nil
			}
		}
	}
	return data, fmt.Errorf("silence after %d bytes", len(data))
}
