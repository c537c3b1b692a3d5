package ros

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"
)

// DefaultTimeout is the time that one call may take.
const DefaultTimeout = 10 * time.Second

// Dialer makes sessions. Address, User and one of Pin and TrustFirst must be
// set. It can be printed and logged: its password is left out.
type Dialer struct {
	Address  string // HOST:PORT of the service api-ssl, usually port 8729
	User     string
	Password string `json:"-"`

	// Pin is the router's certificate. No other is talked to, whoever signed it.
	Pin Pin

	// TrustFirst is asked about the certificate when Pin is zero; an error
	// refuses it. Nothing secret is sent before it has agreed.
	TrustFirst func(Pin) error `json:"-"`

	// Refresh, when set, changes the copy of the Dialer that a session is made
	// with: where the password and the pin are in files, which may change.
	Refresh func(*Dialer) error `json:"-"`

	Timeout time.Duration // of a call and of each step of dialling; 0 means DefaultTimeout
	Source  netip.Addr    // optional: the local address to dial from
}

// Dial connects, checks the certificate and logs in. Errors: ErrNoRoute,
// ErrTLS, ErrPin, ErrLogin, or those of a call. The context bounds dialling
// only, not the session.
func (d Dialer) Dial(ctx context.Context) (*Conn, error) {
	if d.Refresh != nil {
		if err := d.Refresh(&d); err != nil {
			return nil, fmt.Errorf("router %s: %w", d.Address, err)
		}
	}
	if d.Timeout == 0 {
		d.Timeout = DefaultTimeout
	}
	if d.Pin.IsZero() {
		pin, err := d.first(ctx)
		if err != nil {
			return nil, err
		}
		d.Pin = pin
	}
	conn, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.pinned(conn); err != nil {
		conn.Close()
		return nil, err
	}
	c, err := d.login(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("log in to %s as %s: %w", d.Address, d.User, err)
	}
	return c, nil
}

// first asks about a certificate that nobody knows yet. The session is made
// anew afterwards: a person may have been asked, and the router would not wait.
func (d Dialer) first(ctx context.Context) (Pin, error) {
	if d.TrustFirst == nil {
		return Pin{}, fmt.Errorf("router %s: %w: none is pinned; `provision router bootstrap` pins one", d.Address, ErrPin)
	}
	conn, err := d.connect(ctx)
	if err != nil {
		return Pin{}, err
	}
	pin := leaf(conn)
	conn.Close()
	if err := d.TrustFirst(pin); err != nil {
		return Pin{}, fmt.Errorf("router %s with certificate %s: %w: %w", d.Address, pin, ErrPin, err)
	}
	return pin, nil
}

func (d Dialer) connect(ctx context.Context) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	var nd net.Dialer
	if d.Source.IsValid() {
		nd.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.Source, 0))
	}
	tcp, err := nd.DialContext(ctx, "tcp", d.Address)
	if err != nil {
		return nil, fmt.Errorf("router %s: %w: %w; check the cable, the VLAN and that the service api-ssl is on for this address", d.Address, ErrNoRoute, err)
	}
	// The pin says more than a chain of signatures: it is this one router.
	conn := tls.Client(tcp, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	switch err := conn.HandshakeContext(ctx); {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		tcp.Close()
		return nil, fmt.Errorf("router %s: %w: it takes the connection and says nothing: %w", d.Address, ErrNoRoute, err)
	case err != nil:
		tcp.Close()
		return nil, fmt.Errorf("router %s: %w: %w; the service api-ssl needs a certificate and must be open for this address, and plain api is not spoken", d.Address, ErrTLS, err)
	}
	return conn, nil
}

func (d Dialer) pinned(conn *tls.Conn) error {
	if got := leaf(conn); got != d.Pin {
		return fmt.Errorf("router %s: %w: it shows %s, pinned is %s; if the router was reset, pin its new certificate, otherwise find out who answers there", d.Address, ErrPin, got, d.Pin)
	}
	return nil
}

func leaf(conn *tls.Conn) Pin { return PinOf(conn.ConnectionState().PeerCertificates[0].Raw) }

// login is not go-routeros's: that answers a challenge of RouterOS before
// 6.43, which would give a hash of the password to whoever asks.
func (d Dialer) login(ctx context.Context, conn net.Conn) (*Conn, error) {
	c := session(conn, d.Timeout, d.Password)
	row, err := c.Call(ctx, "/login", "=name="+d.User, "=password="+d.Password)
	var trap *Trap
	switch {
	case errors.As(err, &trap):
		return nil, fmt.Errorf("%w: %s", ErrLogin, trap.Message)
	case c.guard.trap != "": // some versions close the connection after it
		return nil, fmt.Errorf("%w: %s", ErrLogin, c.said(c.guard.trap, nil))
	case err != nil:
		return nil, err
	case row["ret"] != "":
		return nil, fmt.Errorf("%w: it asks for the login of RouterOS before 6.43", ErrLogin)
	}
	return c, nil
}

// Format prints a Dialer without its password, whatever the verb.
func (d Dialer) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{router %s as %s, certificate %s}", d.Address, d.User, d.Pin)
}

// LogValue implements slog.LogValuer.
func (d Dialer) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }
