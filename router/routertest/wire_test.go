package routertest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/go-routeros/routeros/v3"

	"provision.internal/router/routertest"
)

// raw speaks the protocol by hand, with words shorter than 128 bytes.
type raw struct {
	*testing.T
	net.Conn
}

func (r raw) send(sentences ...string) {
	r.Helper()
	var b bytes.Buffer
	for _, sentence := range sentences {
		for word := range strings.FieldsSeq(sentence) {
			b.WriteByte(byte(len(word)))
			b.WriteString(word)
		}
		b.WriteByte(0)
	}
	if _, err := r.Write(b.Bytes()); err != nil {
		r.Fatal(err)
	}
}

// sentence reads one, its words joined by spaces.
func (r raw) sentence() string {
	r.Helper()
	var words []string
	for {
		n := make([]byte, 1)
		if _, err := io.ReadFull(r.Conn, n); err != nil {
			r.Fatalf("after %q: %v", words, err)
		}
		if n[0] == 0 {
			return strings.Join(words, " ")
		}
		word := make([]byte, n[0])
		if _, err := io.ReadFull(r.Conn, word); err != nil {
			r.Fatal(err)
		}
		words = append(words, string(word))
	}
}

func (r raw) want(sentences ...string) {
	r.Helper()
	for _, want := range sentences {
		if got := r.sentence(); got != want {
			r.Errorf("got %q, want %q", got, want)
		}
	}
}

// closed wants the other side to have closed.
func (r raw) closed() {
	r.Helper()
	if n, err := r.Read(make([]byte, 1)); err == nil {
		r.Errorf("read %d bytes, want the end", n)
	}
}

func loggedIn(t *testing.T, router *routertest.Router) raw {
	t.Helper()
	r := raw{t, dialRaw(t, router.Addr())}
	r.send("/login =name=admin =password=")
	r.want("!done")
	return r
}

func TestLogin(t *testing.T) {
	router := listening(t, routertest.Config{Users: map[string]string{"provision": "secret"}})
	r := raw{t, dialRaw(t, router.Addr())}
	r.send("/login =name=provision =password=wrong")
	r.want("!trap =message=invalid user name or password (6)", "!done")
	r.send("/login =name=nobody =password=")
	r.want("!trap =message=invalid user name or password (6)", "!done")
	r.send("/login =name=provision =password=secret")
	r.want("!done")
	r.send("/system/identity/print")
	r.want("!re =name=MikroTik", "!done")
	r.send("/quit")
	r.want("!fatal session terminated on request")
	r.closed()

	r = raw{t, dialRaw(t, router.Addr())}
	r.send("/system/identity/print")
	r.want("!fatal not logged in")
	r.closed()
}

func TestReservedLengthEndsTheConnection(t *testing.T) {
	r := loggedIn(t, listening(t, routertest.Config{}))
	if _, err := r.Write([]byte{0xF8, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	r.closed()
}

func TestEmptyByVersion(t *testing.T) {
	for version, want := range map[string][]string{"7.16": {"!done"}, "7.18": {"!empty", "!done"}} {
		r := loggedIn(t, listening(t, routertest.Config{Version: version}))
		r.send("/ip/address/print")
		r.want(want...)
		r.send("/ip/address/print =count-only=")
		r.want("!done =ret=0")
	}
}

func TestTagsInterleave(t *testing.T) {
	r := loggedIn(t, listening(t, routertest.Config{Ethernets: 2}))
	r.send(
		"/interface/ethernet/print =.proplist=name .tag=a",
		"/interface/ethernet/print =.proplist=name .tag=b",
		"/nonsense .tag=c",
	)
	r.want(
		"!re =name=ether1 .tag=a", "!re =name=ether1 .tag=b", "!trap =category=0 =message=no such command .tag=c",
	)
	var rest []string
	for range 5 {
		rest = append(rest, r.sentence())
	}
	slices.Sort(rest)
	if want := []string{"!done .tag=a", "!done .tag=b", "!done .tag=c", "!re =name=ether2 .tag=a", "!re =name=ether2 .tag=b"}; !slices.Equal(rest, want) {
		t.Errorf("got %q, want %q", rest, want)
	}
}

func TestListenAndCancel(t *testing.T) {
	router := listening(t, routertest.Config{})
	r := loggedIn(t, router)
	r.send("/ip/pool/listen =.proplist=.id,name .tag=l", "/system/identity/print")
	r.want("!re =name=MikroTik", "!done")
	if _, err := router.Do("/ip/pool/add", "=name=p", "=ranges=192.0.2.10-192.0.2.20"); err != nil {
		t.Fatal(err)
	}
	r.want("!re =.id=*1 =name=p .tag=l")
	if _, err := router.Do("/ip/pool/remove", "=.id=p"); err != nil {
		t.Fatal(err)
	}
	r.want("!re =.id=*1 =.dead=yes .tag=l")
	r.send("/cancel =tag=l .tag=k")
	got := []string{r.sentence(), r.sentence(), r.sentence()}
	slices.Sort(got)
	if want := []string{"!done .tag=k", "!done .tag=l", "!trap =category=2 =message=interrupted .tag=l"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMaxSessions(t *testing.T) {
	router := listening(t, routertest.Config{MaxSessions: 1})
	loggedIn(t, router)
	c, err := net.Dial("tcp", router.Addr())
	if err != nil {
		t.Fatal(err)
	}
	raw{t, c}.closed()
}

func TestServiceDecidesWhoConnects(t *testing.T) {
	router := listening(t, routertest.Config{})
	do(t, router, "/ip/service/set", "=.id=api-ssl", "=address=192.0.2.0/24")
	refusedNow := func(why string) {
		t.Helper()
		c, err := net.Dial("tcp", router.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: got %v, want the end", why, err)
		}
	}
	refusedNow("address of the service")
	do(t, router, "/ip/service/set", "=.id=api-ssl", "=address=192.0.2.0/24,127.0.0.0/8")
	loggedIn(t, router)
	do(t, router, "/ip/service/disable", "=.id=api-ssl")
	refusedNow("disabled service")
}

func TestCertificateIsTheOneOfTheService(t *testing.T) {
	router := listening(t, routertest.Config{NoCertificate: true})
	if router.Pin() != [32]byte{} {
		t.Error("a reset router has a pin")
	}
	if c, err := tlsDial(router.Addr()); err == nil {
		_ = c.Close()
		t.Fatal("TLS without a certificate: got a connection")
	}
	do(t, router, "/certificate/add", "=name=provision", "=common-name=router")
	do(t, router, "/certificate/sign", "=.id=provision")
	do(t, router, "/ip/service/set", "=.id=api-ssl", "=certificate=provision")
	c, err := tlsDial(router.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if got := pinOf(c); got != router.Pin() {
		t.Errorf("pin %x, want %x", got, router.Pin())
	}
}

func TestLibraryReadsRefusals(t *testing.T) {
	c := client(t, listening(t, routertest.Config{}))
	_, err := c.Run("/ip/address/add", "=address=192.0.2.1/24", "=interface=nowhere")
	var refusal *routeros.DeviceError
	if !errors.As(err, &refusal) || refusal.Sentence.Map["message"] != "input does not match any value of interface" {
		t.Errorf("got %v, want the router's refusal", err)
	}
	if _, err := c.Run("/system/identity/print"); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}
