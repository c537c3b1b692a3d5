package ros

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/go-routeros/routeros/v3/proto"
)

func TestHostilePeers(t *testing.T) {
	for _, tt := range []struct {
		name, bytes string
		want        error
	}{
		{"a word of a gigabyte", "\xE0\x40\x00\x00" + "x", ErrProtocol},
		{"a word of four gigabytes", "\xF0\xFF\xFF\xFF\xFFx", ErrProtocol},
		{"a word just too long", "\x03!re\xC1\x00\x01=", ErrProtocol},
		{"reserved control bytes", "\xF8", ErrProtocol},
		{"reserved control bytes within a sentence", "\x03!re\xFF", ErrProtocol},
		{"control bytes without a meaning", "\xF4\x00\x00\x00\x05!done\x00", ErrProtocol},
		{"fatal with a bare word", wire("!fatal|session terminated on request"), ErrFatal},
		{"fatal with an attribute", wire("!fatal|=message=too many sessions"), ErrFatal},
		{"fatal with nothing", wire("!fatal"), ErrFatal},
		{"fatal after rows", wire("!re|=a=b") + wire("!fatal|going down"), ErrFatal},
		{"a tag that nobody gave", wire("!done|.tag=7"), ErrProtocol},
		{"a row of another call", wire("!re|=a=b|.tag=x") + wire("!done"), ErrProtocol},
		{"a reply of an unknown kind", wire("!what"), ErrProtocol},
		{"a sentence that is no reply", wire("/login|=name=x"), ErrProtocol},
		{"a bare word in a row", wire("!re|bare"), ErrProtocol},
		{"an API attribute that is no tag", wire("!re|.about=x"), ErrProtocol},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n" + strings.Repeat("<p>", 20), ErrProtocol},
		{"the end of the connection", "", io.ErrUnexpectedEOF},
		{"cut within a length", "\x80", io.ErrUnexpectedEOF},
		{"cut within a word", "\x05!do", io.ErrUnexpectedEOF},
		{"cut between words", "\x03!re\x04=a=b", io.ErrUnexpectedEOF},
		{"cut between sentences", wire("!re|=a=b"), io.ErrUnexpectedEOF},
		{"cut after a trap", wire("!trap|=message=no such item"), io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := pipe(t, func(p *peer, _ []string) {
				io.WriteString(p, tt.bytes)
				p.Close()
			})
			_, err := c.Run(t.Context(), "/ip/address/print")
			if !errors.Is(err, tt.want) || !errors.Is(err, ErrLost) {
				t.Errorf("Run = %v, want %v and ErrLost", err, tt.want)
			}
			mustBeDead(t, c)
		})
	}
}

func TestFatalSaysWhy(t *testing.T) {
	for _, said := range []string{"!fatal|going\ndown", "!fatal|=message=going\ndown"} {
		c := pipe(t, func(p *peer, _ []string) { p.say(said) })
		if _, err := c.Run(t.Context(), "/x"); err == nil || !strings.HasSuffix(err.Error(), ": going down") {
			t.Errorf("%q: Run = %v, want the router's words at the end", said, err)
		}
	}
}

// More after the end of a reply is no answer to the next call.
func TestUnaskedWordsAreNoAnswer(t *testing.T) {
	c := pipe(t, func(p *peer, _ []string) { io.WriteString(p, wire("!done|=ret=*1")+wire("!done|=ret=*2")) })
	if done, err := c.Call(t.Context(), "/x"); err != nil || done["ret"] != "*1" {
		t.Fatalf("the first call = %v, %v", done, err)
	}
	if done, err := c.Call(t.Context(), "/y"); !errors.Is(err, ErrProtocol) || !errors.Is(err, ErrNotSent) {
		t.Errorf("the second call = %v, %v, want ErrProtocol", done, err)
	}
	mustBeDead(t, c)
}

// A reply has an end: its rows, its words, its bytes, and empty sentences too.
func TestEndlessReplies(t *testing.T) {
	const limit = 1 << 20 // less than maxReply, to be quick
	for _, tt := range []struct {
		name, bytes string
		want        error
	}{
		{"rows without end", strings.Repeat(wire("!re"), maxRows+1), ErrProtocol},
		{"words without end", "\x03!re" + strings.Repeat("\x04=a=b", limit/5+1), ErrProtocol},
		{"empty sentences without end", strings.Repeat("\x00", limit+1), ErrProtocol},
		{"bytes without end", strings.Repeat(wire("!re|=a="+strings.Repeat("x", maxWord-3)), limit/maxWord+1), ErrProtocol},
		{"the most rows", strings.Repeat(wire("!re"), maxRows) + wire("!done"), nil},
		{"the longest word", wire("!re|"+strings.Repeat("=", maxWord)) + wire("!done"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuard(readConn{Reader: strings.NewReader(tt.bytes)})
			if err := g.begin(); err != nil {
				t.Fatal(err)
			}
			g.limit = limit
			for buf := make([]byte, 4<<10); !g.ended && g.err == nil; {
				g.Read(buf)
			}
			if !errors.Is(g.err, tt.want) {
				t.Errorf("the guard says %v, want %v", g.err, tt.want)
			}
			if cap(g.out) > 2*limit {
				t.Errorf("%d bytes are held", cap(g.out))
			}
		})
	}
}

type readConn struct {
	net.Conn
	io.Reader
}

func (c readConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// Whatever comes: no panic, no more than one reply read, and what go-routeros
// makes of the guard's bytes is what was on the wire.
func FuzzGuard(f *testing.F) {
	for _, s := range []string{
		wire("!done"), wire("!re|=.id=*1|=name=a=b") + wire("!done|=ret=*1"), wire("!trap|=message=no such item|=category=4") + wire("!done"),
		wire("!fatal|bye"), wire("!done|.tag=1"), "\x00\x00" + wire("!empty") + wire("!done") + "rest",
		"\xF8", "\x80\x05!done\x00", "\xC0\x00\x05!done\x00", "\xE0\x00\x00\x05!done\x00", "\xF0\x00\x00\x00\x05!done\x00", "\xF0\xFF\xFF\xFF\xFF",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		g := newGuard(readConn{Reader: bytes.NewReader(in)})
		if err := g.begin(); err != nil {
			t.Fatal(err)
		}
		r := proto.NewReader(g)
		wire := bufio.NewReader(bytes.NewReader(in))
		for !g.ended {
			got, err := r.ReadSentence()
			if err != nil {
				if g.err == nil {
					t.Fatalf("go-routeros refuses what the guard passed: %v", err)
				}
				return
			}
			want := plain(t, wire)
			for want[0] == "" {
				want = plain(t, wire)
			}
			if got.Word != want[0] || len(got.List) != len(want)-1 {
				t.Fatalf("got %v, want %q", got, want)
			}
			for i, p := range got.List {
				key, value, _ := strings.Cut(want[i+1][1:], "=")
				if p.Key != key || p.Value != value {
					t.Fatalf("attribute %v, want %q", p, want[i+1])
				}
			}
		}
	})
}

// plain reads one sentence as the manual describes it.
func plain(t *testing.T, in *bufio.Reader) []string {
	words := []string{""}
	for {
		n, err := readLength(in)
		if err != nil {
			t.Fatalf("the guard read past an error: %v", err)
		}
		word := make([]byte, n)
		if _, err := io.ReadFull(in, word); err != nil {
			t.Fatalf("the guard read past an error: %v", err)
		}
		switch {
		case n == 0:
			return words
		case words[0] == "":
			words[0] = string(word)
		default:
			words = append(words, string(word))
		}
	}
}

func FuzzLength(f *testing.F) {
	for _, n := range []uint32{0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, maxWord} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n uint32) {
		n %= maxWord + 1
		b := appendLength(nil, n)
		got, err := readLength(bytes.NewReader(b))
		if err != nil || got != n {
			t.Errorf("readLength(%x) = %d, %v, want %d", b, got, err, n)
		}
		var theirs bytes.Buffer
		w := proto.NewWriter(&theirs)
		w.BeginSentence()
		w.WriteWord(strings.Repeat("x", int(n)))
		if err := w.EndSentence(); err != nil || !slices.Equal(theirs.Bytes()[:len(b)], b) {
			t.Errorf("go-routeros writes the length %d as %x, %v, we as %x", n, theirs.Bytes()[:len(b)], err, b)
		}
	})
}

// A print of a large table through both layers.
func BenchmarkPrint2000Rows(b *testing.B) {
	row := wire("!re|=.id=*1|=interface=bridge|=mac-address=02:00:00:00:00:01|=address=192.0.2.1/24|=comment=provision:host/node1|=disabled=false|=dynamic=false")
	reply := []byte(strings.Repeat(row, 2000) + wire("!done"))
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		p := &peer{theirs, bufio.NewReader(theirs)}
		for p.sentence() != nil {
			p.Write(reply)
		}
	}()
	c := session(ours, DefaultTimeout, "")
	b.SetBytes(int64(len(reply)))
	for b.Loop() {
		if rows, err := c.Run(context.Background(), "/x/print"); err != nil || len(rows) != 2000 {
			b.Fatal(len(rows), err)
		}
	}
}
