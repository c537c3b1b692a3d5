package tftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pin/tftp/v3"
	"golang.org/x/sync/errgroup"
)

// Defaults of Server's limits.
const (
	DefaultShare    = 64
	DefaultSessions = 1024
	DefaultQueue    = 4096
	DefaultGrace    = 2 * time.Second
)

// Server serves Files on Conn. Conn, Files and Log must be set. It is run once.
type Server struct {
	// Conn is the port, from Listen. Run closes it.
	Conn net.PacketConn
	// Files is what clients can get: the root and everything below. Where that is a
	// directory use os.Root's FS, because os.DirFS follows symbolic links out of
	// it. A file that changes while it is transferred must change its size or time.
	Files fs.FS
	Log   *slog.Logger

	// Done, when set, is called at the end of each transfer, from many
	// goroutines.
	Done func(Transfer)

	// Share is how many transfers run at a time as long as they keep the server
	// busy; more begin when clients are slow or have waited. Zero means
	// DefaultShare. A thousand at a time cost up to a third more processor time
	// for the same bytes, and the first would end as late as the last.
	Share    int
	Sessions int           // transfers at a time in any case; zero means DefaultSessions
	Queue    int           // requests that wait for a session; zero means DefaultQueue
	Grace    time.Duration // for running transfers when stopped; zero means DefaultGrace

	count counters
	shelf shelf
	gate  atomic.Pointer[gate]
	late  atomic.Bool // the grace is over
}

// Transfer is one that has ended.
type Transfer struct {
	Peer  netip.AddrPort
	File  string
	Bytes int64         // acknowledged by the client
	Took  time.Duration // from the end of the queue on
	// Probe: the client wanted the file's size only. Err is nil then.
	Probe bool
	Err   error
}

// Stats are counts since the start, and what goes on now.
type Stats struct {
	Requests   uint64 // read requests that were well formed
	Duplicates uint64 // of a transfer that ran or waited
	Queued     uint64 // had to wait for a session
	Dropped    uint64 // found the queue full, or waited in vain
	Refused    uint64 // answered by an ERROR: writes, bad names, unknown modes
	Malformed  uint64 // packets that are no request
	Finished   uint64
	Probes     uint64 // size only
	Missing    uint64 // asked for a file that is not there
	Failed     uint64
	Bytes      uint64 // of all transfers
	Running    int
	Waiting    int
}

type counters struct {
	requests, duplicates, queued, dropped, refused, malformed atomic.Uint64
	finished, probes, missing, failed, bytes                  atomic.Uint64
}

// Stats may be called at any time.
func (s *Server) Stats() Stats {
	c := &s.count
	t := Stats{
		Requests: c.requests.Load(), Duplicates: c.duplicates.Load(), Queued: c.queued.Load(), Dropped: c.dropped.Load(),
		Refused: c.refused.Load(), Malformed: c.malformed.Load(),
		Finished: c.finished.Load(), Probes: c.probes.Load(), Missing: c.missing.Load(), Failed: c.failed.Load(), Bytes: c.bytes.Load(),
	}
	if g := s.gate.Load(); g != nil {
		t.Running, t.Waiting = g.load()
	}
	return t
}

// Run serves until ctx ends, which gives nil, or the port fails. Running transfers
// get Grace to finish; a client that has gone silent can hold the end up
// for some seconds more, because the library cannot be interrupted while it waits.
func (s *Server) Run(ctx context.Context) error {
	defer s.Conn.Close()
	s.shelf = shelf{files: s.Files, books: map[edition]*book{}}
	g := newGate(s.Conn, limits{
		share:    or(s.Share, DefaultShare),
		sessions: or(s.Sessions, DefaultSessions),
		queue:    or(s.Queue, DefaultQueue),
	}, &s.count)
	s.gate.Store(g)

	lib := tftp.NewServer(s.serve, nil)
	lib.SetTimeout(quietTime)
	lib.SetRetries(4)
	lib.SetBackoff(s.backoff)
	// The gate has limited blksize already. Without this the library, which cannot ask a gate
	// for its interface, takes 512 for the MTU.
	lib.SetBlockSizeNegotiation(false)
	lib.SetBlockSize(blockSize)
	lib.SetHook(hook{s})

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return lib.Serve(g) })
	group.Go(func() error { return s.receive(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		s.Conn.SetReadDeadline(time.Unix(1, 0))
		grace := time.NewTimer(or(s.Grace, DefaultGrace))
		defer grace.Stop()
		empty := g.drain()
		select {
		case <-empty:
		case <-grace.C:
			s.late.Store(true)
			<-empty
		}
		lib.Shutdown()
		return nil
	})
	return group.Wait()
}

// backoff is the pause before a block is sent again, on top of the timeout. There
// is none before the first, which mostly answers a single lost packet.
func (s *Server) backoff(attempt int) time.Duration {
	if attempt == 0 || s.late.Load() {
		return 0
	}
	return time.Second << (attempt - 1)
}

// receive reads the port until ctx ends.
func (s *Server) receive(ctx context.Context) error {
	// One byte more than a request may have, to see that it has more.
	buf := make([]byte, requestSize+1)
	for {
		n, from, err := s.Conn.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("read the TFTP port: %w", err)
		case err != nil:
			// What the network said about an earlier answer: no reason to stop.
			s.Log.Debug("tftp port", "err", err)
			continue
		}
		addr, ok := from.(*net.UDPAddr)
		if !ok {
			return fmt.Errorf("read the TFTP port: sender %v has no UDP address", from)
		}
		s.packet(unmap(addr.AddrPort()), buf[:n])
	}
}

// packet handles one packet from the port.
func (s *Server) packet(peer netip.AddrPort, p []byte) {
	r, err := parseRequest(p)
	if no, ok := errors.AsType[*refusal](err); ok {
		s.count.refused.Add(1)
		s.Log.Info("tftp request refused", "peer", peer, "file", no.name, "err", err)
		if _, err := s.Conn.WriteTo(errorPacket(no.code, no.text), net.UDPAddrFromAddrPort(peer)); err != nil {
			s.Log.Debug("tftp refusal not sent", "peer", peer, "err", err)
		}
		return
	}
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	s.count.requests.Add(1)
	s.gate.Load().admit(peer, r)
}

// hook hears of what ended without a transfer's error reaching Server.serve.
type hook struct{ s *Server }

// OnSuccess is part of tftp.Hook; Server.serve knows already.
func (hook) OnSuccess(tftp.TransferStats) {}

// OnFailure hears of a failed transfer before the library tells the client. What has no
// address is a request that got no socket, or the end of the gate.
func (h hook) OnFailure(stats tftp.TransferStats, err error) {
	if stats.RemoteAddr != nil {
		if byClient, _ := clientError(err); byClient {
			panic(clientEnded{err})
		}
		return
	}
	if errors.Is(err, errStopping) {
		return
	}
	if t := h.s.gate.Load().unhanded(); t != nil {
		h.s.ended(t, 0, false, err)
	}
}

// or gives v, or fallback when v is zero.
func or[T int | time.Duration](v, fallback T) T {
	if v == 0 {
		return fallback
	}
	return v
}

// unmap shows an IPv4 client of a dual-stack socket as what it is.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
