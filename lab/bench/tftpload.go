package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"provision.internal/dhcp/dhcptest"
)

// Operation codes of RFC 1350 and RFC 2347.
const (
	opData       = 3
	opAck        = 4
	opTFTPError  = 5
	opOptionsAck = 6
)

// tftpLoad is a number of clients that fetch one file at the same time.
type tftpLoad struct {
	Server  netip.AddrPort
	File    string
	Want    []byte // what the file holds: every block is compared
	Block   int    // blksize
	Clients int
	Repeat  int // fetches for each client, one after the other
}

// run opens every socket in namespace first, so that the clients start as one.
func (l tftpLoad) run(ctx context.Context, namespace string) (transferred, error) {
	// A socket for each fetch: firmware takes a new port for each.
	conns := make([]*net.UDPConn, 0, l.Clients*l.Repeat)
	defer func() { closeAll(conns) }()
	err := dhcptest.Inside(namespace, func() error {
		for range l.Clients * l.Repeat {
			c, err := net.ListenUDP("udp4", nil)
			if err != nil {
				return fmt.Errorf("open a client's socket: %w", err)
			}
			conns = append(conns, c)
		}
		return nil
	})
	if err != nil {
		return transferred{}, err
	}
	return crowd(ctx, l.Clients, conns, func(own []*net.UDPConn) (int64, error) {
		var total int64
		for _, c := range own {
			f := tftpFetch{load: l, conn: c, ctx: ctx}
			err := f.run()
			total += int64(f.at)
			if err != nil {
				return total, err
			}
		}
		return total, nil
	})
}

// A client's patience: it sends again after tftpTimeout, tftpTries times for one block.
const (
	tftpTimeout = time.Second
	tftpTries   = 10
)

// tftpFetch is one client's transfer.
type tftpFetch struct {
	load  tftpLoad
	conn  *net.UDPConn
	ctx   context.Context
	peer  netip.AddrPort
	block int
	want  uint16
	at    int // bytes received
	out   []byte
}

// run fetches the file once, with the request that EDK2 sends, tsize included.
func (f *tftpFetch) run() error {
	f.block, f.want = 512, 1
	f.out = []byte("\x00\x01" + f.load.File + "\x00octet\x00tsize\x000\x00blksize\x00" + strconv.Itoa(f.load.Block) + "\x00")
	if err := f.send(f.load.Server); err != nil {
		return err
	}
	buf := make([]byte, 4+max(f.block, f.load.Block)+1)
	var deadline time.Time
	for tries := 0; ; {
		// A deadline for each packet would cost as much as the packet.
		if now := time.Now(); deadline.Sub(now) < tftpTimeout/2 {
			deadline = now.Add(tftpTimeout)
			if err := f.conn.SetReadDeadline(deadline); err != nil {
				return err
			}
		}
		n, from, err := f.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if f.ctx.Err() != nil {
				return f.ctx.Err()
			}
			if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
				return err
			}
			if tries++; tries > tftpTries {
				return fmt.Errorf("no answer at byte %d of %s", f.at, f.load.File)
			}
			deadline = time.Time{}
			if err := f.again(); err != nil {
				return err
			}
			continue
		}
		if n < 4 || f.peer.IsValid() && from != f.peer {
			continue
		}
		done, progress, err := f.packet(buf[:n], from)
		if err != nil || done {
			return err
		}
		if progress {
			tries = 0
		}
	}
}

// packet handles what the server sent.
func (f *tftpFetch) packet(p []byte, from netip.AddrPort) (done, progress bool, err error) {
	switch binary.BigEndian.Uint16(p) {
	case opOptionsAck:
		if f.at > 0 {
			return false, false, nil
		}
		f.peer = from
		f.options(p[2:])
		return false, true, f.ack(0)
	case opData:
		f.peer = from
		if binary.BigEndian.Uint16(p[2:]) != f.want {
			return false, false, nil // a repetition; answering it would double every later packet
		}
		body := p[4:]
		if f.at+len(body) > len(f.load.Want) || !bytes.Equal(body, f.load.Want[f.at:f.at+len(body)]) {
			return false, false, fmt.Errorf("%s differs in the block at byte %d", f.load.File, f.at)
		}
		f.at += len(body)
		f.want++
		if err := f.ack(f.want - 1); err != nil {
			return false, false, err
		}
		last := len(body) < f.block
		if last && f.at != len(f.load.Want) {
			return false, false, fmt.Errorf("%s ends at byte %d of %d", f.load.File, f.at, len(f.load.Want))
		}
		return last, true, nil
	case opTFTPError:
		return false, false, fmt.Errorf("%s: error %d: %s", f.load.File, binary.BigEndian.Uint16(p[2:]), bytes.TrimRight(p[4:], "\x00"))
	}
	return false, false, nil
}

// options reads the block size that the server agreed to.
func (f *tftpFetch) options(p []byte) {
	words := bytes.Split(p, []byte{0})
	for i := 0; i+1 < len(words); i += 2 {
		if n, err := strconv.Atoi(string(words[i+1])); err == nil && string(words[i]) == "blksize" {
			f.block = n
		}
	}
}

func (f *tftpFetch) ack(block uint16) error {
	f.out = append(f.out[:0], 0, opAck, byte(block>>8), byte(block))
	return f.send(f.peer)
}

// again repeats what was sent last.
func (f *tftpFetch) again() error {
	if f.peer.IsValid() {
		return f.send(f.peer)
	}
	return f.send(f.load.Server)
}

func (f *tftpFetch) send(to netip.AddrPort) error {
	_, err := f.conn.WriteToUDPAddrPort(f.out, to)
	return err
}
