package tftp

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pin/tftp/v3"
)

// What clients are told; the log has more.
var (
	errNotFound   = errors.New("file not found")
	errUnreadable = errors.New("the file cannot be read; see the server's log")
)

// serve is the library's read handler: it runs one transfer. The error goes to the
// client, with code 1.
func (s *Server) serve(ticket string, to io.ReaderFrom) error {
	g := s.gate.Load()
	t := g.find(ticket)
	n, err := s.send(t, to)
	aborted, probe := clientError(err)
	s.ended(t, n, probe, err)
	g.end(t, aborted)
	if errors.Is(err, errNotFound) {
		return errNotFound
	}
	if err != nil {
		return errUnreadable
	}
	return nil
}

// clientEnded is what hook throws and send catches: see there.
type clientEnded struct{ err error }

// send opens the session's file and gives it to the library.
//
// The library answers a client's ERROR with one of its own. To a ROM that asks for the
// file from the port of its size probe that is the answer to this request,
// and its boot ends. The library offers one way past that packet: its hook runs before it is sent,
// and a panic there closes the transfer's socket on its way here.
func (s *Server) send(t *session, to io.ReaderFrom) (n int64, err error) {
	c, err := s.shelf.open(t.request.name)
	if err != nil {
		return 0, err
	}
	defer c.close()
	to.(tftp.OutgoingTransfer).SetSize(c.size)
	body := body{content: c, session: t, server: s, gate: s.gate.Load()}
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case clientEnded:
			n, err = body.acknowledged, thrown.err
		default:
			panic(thrown)
		}
	}()
	n, err = to.ReadFrom(&body)
	if err != nil {
		// The block that was read last is not acknowledged.
		n = body.acknowledged
	}
	return n, cmp.Or(body.err, err)
}

// ended reports a session's end.
func (s *Server) ended(t *session, n int64, probe bool, err error) {
	done := Transfer{Peer: t.key.client, File: t.key.file, Bytes: n, Took: time.Since(t.begun), Probe: probe, Err: err}
	s.count.bytes.Add(uint64(n))
	switch {
	case probe:
		done.Err = nil
		s.count.probes.Add(1)
	case errors.Is(err, errNotFound):
		// No fault of the network: GRUB tries a dozen names for its grub.cfg.
		s.count.missing.Add(1)
		s.Log.Info("tftp file not found", "peer", done.Peer, "file", done.File)
	case err != nil:
		s.count.failed.Add(1)
		s.Log.Warn("tftp transfer failed", "peer", done.Peer, "file", done.File, "bytes", n, "err", err)
	default:
		s.count.finished.Add(1)
	}
	if s.Done != nil {
		s.Done(done)
	}
}

// clientError says whether err is an ERROR packet of the client's, and whether that is the
// end of a size probe: EDK2 sends code 8, other ROMs 0, before any data. The library keeps
// both numbers in the text only.
func clientError(err error) (aborted, probe bool) {
	if err == nil {
		return false, false
	}
	var block, code int
	if _, scan := fmt.Sscanf(err.Error(), "sending block %d: code=%d, error:", &block, &code); scan != nil {
		return false, false
	}
	return true, block == 0 && (code == codeOptions || code == 0)
}

// body is a file as the library reads it: a block when the one before was
// acknowledged.
type body struct {
	content      *content
	session      *session
	server       *Server
	gate         *gate
	read         int64
	acknowledged int64
	err          error // of the file, which the client is not told
}

// Read notes that the client is alive, and ends the transfer when the server must stop.
func (b *body) Read(p []byte) (int, error) {
	if b.server.late.Load() {
		return 0, errStopping
	}
	b.session.active.Store(time.Now().UnixNano())
	b.gate.blocks.Add(1)
	b.acknowledged = b.read
	n, err := b.content.Read(p)
	if b.read += int64(n); b.read == b.content.size && b.acknowledged > 0 {
		b.session.ending.Store(true)
	}
	if err != nil && err != io.EOF {
		b.err = fmt.Errorf("read %s: %w", b.session.key.file, err)
		return n, errUnreadable
	}
	return n, err
}
