package ros

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
)

// Limits of one reply. A router with the rows of a large site stays far below.
const (
	maxWord  = 64 << 10 // bytes
	maxReply = 64 << 20 // bytes of all words
	maxRows  = 50_000
)

// guard stands between go-routeros and the connection. Its Read gives whole
// sentences which have been checked, and none after the end of a reply. The
// first fault stays.
type guard struct {
	net.Conn
	in    *bufio.Reader
	limit int // of bytes in a reply

	out         []byte // checked and not yet read
	rows, bytes int    // of this reply
	ended       bool   // this reply has had its !done
	trap        string // the message of this reply's first !trap, as it came
	fatal       string // what came with a !fatal, as it came
	err         error  // never repeats what came: it may be a secret of ours
}

func newGuard(c net.Conn) *guard {
	return &guard{Conn: c, in: bufio.NewReader(c), limit: maxReply, ended: true}
}

// begin is called before each call. What came between two calls belongs to
// none, and would be taken for the answer to the next.
func (g *guard) begin() error {
	if g.err == nil && g.in.Buffered() > 0 {
		g.err = fmt.Errorf("%w: it speaks before it is asked", ErrProtocol)
	}
	g.rows, g.bytes, g.ended, g.trap = 0, 0, false, ""
	return g.err
}

// Read implements io.Reader.
func (g *guard) Read(p []byte) (int, error) {
	if len(g.out) == 0 && g.err == nil {
		g.err = g.sentence()
	}
	if g.err != nil {
		return 0, g.err
	}
	n := copy(p, g.out)
	g.out = g.out[n:]
	return n, nil
}

// sentence reads one sentence into out.
func (g *guard) sentence() error {
	if g.ended {
		return fmt.Errorf("%w: more is read than the reply", ErrProtocol)
	}
	g.out = g.out[:0]
	var reply string
	for {
		word, err := g.word()
		switch {
		case err != nil:
			return err
		case len(word) == 0 && reply == "":
			g.out = g.out[:0] // an empty sentence is allowed, and means nothing
		case len(word) == 0:
			return g.finish(reply)
		case reply == "":
			if reply, err = g.start(word); err != nil {
				return err
			}
		case reply == "!fatal":
			g.fatal = string(bytes.TrimPrefix(word, []byte("=message=")))
			return ErrFatal
		case bytes.HasPrefix(word, []byte(".tag=")):
			return fmt.Errorf("%w: it answers a tag, and nobody gave one", ErrProtocol)
		case word[0] != '=':
			return fmt.Errorf("%w: a word of a reply that is no attribute", ErrProtocol)
		case reply == "!trap" && g.trap == "":
			if m, ok := bytes.CutPrefix(word, []byte("=message=")); ok {
				g.trap = string(m)
			}
		}
	}
}

// start checks a sentence's first word.
func (g *guard) start(word []byte) (string, error) {
	switch reply := string(word); reply {
	case "!re":
		if g.rows++; g.rows > maxRows {
			return "", fmt.Errorf("%w: more than %d rows in a reply", ErrProtocol, maxRows)
		}
		return reply, nil
	case "!done", "!trap", "!empty", "!fatal":
		return reply, nil
	}
	return "", fmt.Errorf("%w: a reply of an unknown kind", ErrProtocol)
}

// finish is called at a sentence's end.
func (g *guard) finish(reply string) error {
	switch reply {
	case "!fatal":
		return ErrFatal
	case "!done":
		g.ended = true
	}
	return nil
}

// word appends one word to out, with its length, and returns it.
func (g *guard) word() ([]byte, error) {
	n, err := readLength(g.in)
	if err != nil {
		return nil, err
	}
	if n > maxWord {
		return nil, fmt.Errorf("%w: a word of %d bytes, of at most %d", ErrProtocol, n, maxWord)
	}
	if g.bytes += int(n) + 1; g.bytes > g.limit {
		return nil, fmt.Errorf("%w: a reply of more than %d bytes", ErrProtocol, g.limit)
	}
	g.out = appendLength(g.out, n)
	begin := len(g.out)
	g.out = slices.Grow(g.out, int(n))[:begin+int(n)]
	if _, err := io.ReadFull(g.in, g.out[begin:]); err != nil {
		return nil, whole(err)
	}
	return g.out[begin:], nil
}

// readLength reads the length of a word: one to five bytes, of which the
// first's leading ones tell how many follow.
func readLength(r io.ByteReader) (uint32, error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, whole(err)
	}
	var more int
	n := uint32(first)
	switch {
	case first < 0x80:
	case first < 0xC0:
		more, n = 1, n&^0x80
	case first < 0xE0:
		more, n = 2, n&^0xC0
	case first < 0xF0:
		more, n = 3, n&^0xE0
	case first == 0xF0:
		more, n = 4, 0
	default: // 0xF1 to 0xF7 have no meaning, 0xF8 and above are reserved
		return 0, fmt.Errorf("%w: a control byte %#x", ErrProtocol, first)
	}
	for range more {
		b, err := r.ReadByte()
		if err != nil {
			return 0, whole(err)
		}
		n = n<<8 | uint32(b)
	}
	return n, nil
}

// appendLength is the shortest form of n, which must be at most maxWord.
func appendLength(b []byte, n uint32) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n < 0x4000:
		return binary.BigEndian.AppendUint16(b, uint16(n)|0x8000)
	}
	return append(b, byte(n>>16)|0xC0, byte(n>>8), byte(n))
}

// whole tells an end of the connection from an error of it: there is no place
// in a reply where it may end.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
