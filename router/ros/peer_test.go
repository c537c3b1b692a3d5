package ros

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// testTimeout is of calls that must not meet it; only those in bubbles do.
const testTimeout = 10 * time.Minute

const testPassword = `pa"ss $word\`

// peer is the other end of a session, which writes what a test wants.
type peer struct {
	net.Conn
	in *bufio.Reader
}

// sentence reads one, and returns nil at the end of the connection.
func (p *peer) sentence() []string {
	var words []string
	for {
		n, err := readLength(p.in)
		if err != nil {
			return nil
		}
		word := make([]byte, n)
		if _, err := io.ReadFull(p.in, word); err != nil {
			return nil
		}
		if n == 0 {
			return words
		}
		words = append(words, string(word))
	}
}

func (p *peer) say(sentences ...string) {
	for _, s := range sentences {
		io.WriteString(p, wire(s))
	}
}

// wire encodes one sentence, whose words are separated by "|".
func wire(sentence string) string {
	var b []byte
	for w := range strings.SplitSeq(sentence, "|") {
		b = append(appendLength(b, uint32(len(w))), w...)
	}
	return string(b) + "\x00"
}

// pipe is a logged in session whose calls answer serves one after another.
func pipe(t *testing.T, answer func(p *peer, call []string)) *Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p := &peer{theirs, bufio.NewReader(theirs)}
		p.sentence()
		p.say("!done")
		for call := p.sentence(); call != nil; call = p.sentence() {
			answer(p, call)
		}
	}()
	d := Dialer{Address: "192.0.2.1:8729", User: "admin", Password: testPassword, Timeout: testTimeout}
	c, err := d.login(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); theirs.Close(); <-ended })
	return c
}

// listen serves real TLS connections; the pin is of its certificate.
func listen(t *testing.T, serve func(p *peer)) (address string, pin Pin) {
	t.Helper()
	cert := certificate(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(&peer{c, bufio.NewReader(c)})
			c.Close()
		}
	}()
	return l.Addr().String(), PinOf(cert.Certificate[0])
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
