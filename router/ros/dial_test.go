package ros

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestDial(t *testing.T) {
	logins := make(chan string, 9)
	address, pin := listen(t, func(p *peer) {
		if login := p.sentence(); login != nil {
			logins <- strings.Join(login, "|")
			p.say("!done")
		}
		for p.sentence() != nil {
			p.say("!re|=name=r", "!done")
		}
	})
	d := Dialer{Address: address, User: "admin", Password: testPassword, Pin: pin, Source: netip.MustParseAddr("127.0.0.2")}
	c, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.Print(t.Context(), "/system/identity", []string{"name"})
	if err != nil || len(rows) != 1 || rows[0]["name"] != "r" {
		t.Errorf("Print = %v, %v", rows, err)
	}
	if got := c.LocalAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.2" {
		t.Errorf("dialled from %s, want the source 127.0.0.2", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}

	// Another certificate, and one that the operator refuses, get no login.
	d.Pin = Pin{1}
	if _, err := d.Dial(t.Context()); !errors.Is(err, ErrPin) || !strings.Contains(err.Error(), pin.String()) || !strings.Contains(err.Error(), d.Pin.String()) {
		t.Errorf("another certificate: %v, want ErrPin and both pins", err)
	}
	d.Pin = Pin{}
	if _, err := d.Dial(t.Context()); !errors.Is(err, ErrPin) {
		t.Errorf("no pin and nobody to ask: %v, want ErrPin", err)
	}
	no := errors.New("no")
	d.TrustFirst = func(Pin) error { return no }
	if _, err := d.Dial(t.Context()); !errors.Is(err, ErrPin) || !errors.Is(err, no) {
		t.Errorf("refused certificate: %v, want ErrPin and the reason", err)
	}
	var asked Pin
	d.TrustFirst = func(p Pin) error { asked = p; return nil }
	c, err = d.Dial(t.Context())
	if err != nil || asked != pin {
		t.Fatalf("trusted certificate %v: %v; want %v", asked, err, pin)
	}
	c.Close()
	want := "/login|=name=admin|=password=" + testPassword
	if one, two := <-logins, <-logins; one != want || two != want || len(logins) != 0 {
		t.Errorf("logins %q, %q and %d more, want two of %q", one, two, len(logins), want)
	}
}

// Password and pin may be read anew for each session.
func TestRefresh(t *testing.T) {
	logins := make(chan string, 1)
	address, pin := listen(t, func(p *peer) {
		if login := p.sentence(); login != nil {
			logins <- login[2]
			p.say("!done")
		}
	})
	d := Dialer{Address: address, User: "admin", Refresh: func(d *Dialer) error {
		d.Pin, d.Password = pin, "fresh"
		return nil
	}}
	c, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := <-logins; got != "=password=fresh" {
		t.Errorf("logged in with %s", got)
	}
	if !d.Pin.IsZero() || d.Password != "" {
		t.Errorf("the Dialer itself has changed: %v", d)
	}
	no := errors.New("no file")
	d.Refresh = func(*Dialer) error { return no }
	if _, err := d.Dial(t.Context()); !errors.Is(err, no) {
		t.Errorf("Dial = %v, want what Refresh says", err)
	}
}

func TestRefusedLogins(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string
		want   error
		text   string
	}{
		{"a trap", wire("!trap|=message=invalid user name or password (6)") + wire("!done"), ErrLogin, "invalid user name or password (6)"},
		{"a trap and the end", wire("!trap|=message=invalid user name or password (6)"), ErrLogin, "invalid user name or password (6)"},
		{"a trap that shows the password", wire("!trap|=message=bad " + testPassword), ErrLogin, "left out"},
		{"a challenge", wire("!done|=ret=ebddd18303a54111e2dea05a92ab46b4"), ErrLogin, "before 6.43"},
		{"fatal", wire("!fatal|too many sessions"), ErrFatal, "too many sessions"},
		{"the end", "", ErrLost, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int32
			address, pin := listen(t, func(p *peer) {
				if p.sentence() != nil {
					calls.Add(1)
				}
				fmt.Fprint(p, tt.answer)
			})
			_, err := Dialer{Address: address, User: "admin", Password: testPassword, Pin: pin}.Dial(t.Context())
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), testPassword) {
				t.Errorf("Dial = %v, want %v with %q", err, tt.want, tt.text)
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("%d logins, want 1: a refused one may lock the user out", n)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if c, err := l.Accept(); err == nil {
			fmt.Fprint(c, "220 not TLS\r\n")
			c.Close()
		}
	}()
	d := Dialer{Address: l.Addr().String(), User: "admin", Password: testPassword, Pin: Pin{1}}
	if _, err := d.Dial(t.Context()); !errors.Is(err, ErrTLS) {
		t.Errorf("a service without TLS: %v, want ErrTLS", err)
	}
	<-ended
	d.Timeout = 50 * time.Millisecond
	if _, err := d.Dial(t.Context()); !errors.Is(err, ErrNoRoute) { // nobody accepts, but the kernel does
		t.Errorf("a service that says nothing: %v, want ErrNoRoute", err)
	}
	d.Timeout = 0
	l.Close()
	if _, err := d.Dial(t.Context()); !errors.Is(err, ErrNoRoute) {
		t.Errorf("a closed port: %v, want ErrNoRoute", err)
	}
}

func TestPin(t *testing.T) {
	pin := PinOf([]byte("certificate"))
	for _, s := range []string{pin.String(), strings.TrimPrefix(pin.String(), "sha256:"), strings.ToUpper(strings.TrimPrefix(pin.String(), "sha256:"))} {
		if got, err := ParsePin(s); got != pin || err != nil {
			t.Errorf("ParsePin(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "sha256:", "sha256:00", pin.String() + "00", "sha1:" + pin.String(), "zz" + pin.String()[9:]} {
		if got, err := ParsePin(s); err == nil {
			t.Errorf("ParsePin(%q) = %v, want an error", s, got)
		}
	}
	var got Pin
	if err := got.UnmarshalText([]byte(pin.String())); err != nil || got != pin {
		t.Errorf("UnmarshalText = %v, %v", got, err)
	}
	if err := got.UnmarshalText(nil); err != nil || !got.IsZero() || got.String() != "" {
		t.Errorf("no text = %v, %v, want the zero pin", got, err)
	}
	if err := got.UnmarshalText([]byte("x")); err == nil {
		t.Error("UnmarshalText takes what is no pin")
	}
}
