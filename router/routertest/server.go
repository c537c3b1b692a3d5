package routertest

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"
)

// face is a listening socket and the address of the router that it stands for.
type face struct {
	net.Listener
	to netip.Addr // zero: always reachable
}

// handshakeTime bounds a TLS handshake, in real time.
const handshakeTime = 10 * time.Second

// Listen opens the API over TLS at addr, such as "127.0.0.1:0". Whoever
// connects reaches it whatever the router's configuration is, until
// ManagementAddress says what address it stands for.
func (r *Router) Listen(addr string) error {
	_, err := r.listen(addr, netip.Addr{})
	return err
}

// ListenFor opens the API at addr as the router's own address to, such as
// "192.0.2.1": a session comes about, and lives, only while that address can
// be reached. It returns where it listens, HOST:PORT.
func (r *Router) ListenFor(addr, to string) (string, error) {
	address, err := netip.ParseAddr(to)
	if err != nil {
		return "", fmt.Errorf("listen for the router's address: %w", err)
	}
	return r.listen(addr, address)
}

// ManagementAddress says which address of the router the sockets of Listen
// stand for from now on.
func (r *Router) ManagementAddress(to string) error {
	address, err := netip.ParseAddr(to)
	if err != nil {
		return fmt.Errorf("management address: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faces {
		f.to = address
	}
	return nil
}

func (r *Router) listen(addr string, to netip.Addr) (string, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return "", errors.Join(net.ErrClosed, listener.Close())
	}
	f := &face{listener, to}
	r.faces = append(r.faces, f)
	r.running.Go(func() { r.serve(f) })
	return listener.Addr().String(), nil
}

// Addr is where Listen listens, HOST:PORT; the first one of several. It panics
// before there is one.
func (r *Router) Addr() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.faces[0].Addr().String()
}

// Pin is the SHA-256 of the certificate that api-ssl shows; zero without one.
func (r *Router) Pin() [sha256.Size]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.serviceCertificate()
	if c == nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(c.Certificate[0])
}

// Close ends all connections and waits for them.
func (r *Router) Close() {
	r.mu.Lock()
	r.closed = true
	r.dynamics.forget() // no timer goes on
	for _, server := range r.rest {
		_ = server.Close() // it has no more to say
	}
	for _, f := range r.faces {
		_ = f.Close() // it has no more to say
	}
	conns := slices.Collect(maps.Keys(r.conns))
	rest := slices.Clone(r.rest)
	r.dynamics.forget()
	r.mu.Unlock()
	for _, server := range rest {
		_ = server.Close() // it has no more to say
	}
	for _, c := range conns {
		c.end()
	}
	r.running.Wait()
}

func (r *Router) serve(f *face) {
	for {
		raw, err := f.Accept()
		if err != nil {
			return // closed
		}
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			_ = raw.Close()
			continue
		}
		c := newConn(r, raw, f.to)
		r.conns[c] = true
		r.running.Go(c.run)
		r.mu.Unlock()
	}
}

// admission is what becomes of a new connection.
type admission int

const (
	admitted admission = iota
	refused            // the service is not there, or not for this address
	dropped            // nothing ever comes back
)

// admit decides about a new connection to api-ssl.
func (r *Router) admit(c *conn) admission {
	if r.dynamics.down {
		return refused
	}
	if r.dynamics.down {
		return refused
	}
	if c.to.IsValid() && !r.reachable(c.from, c.to, r.servicePort("api-ssl")) {
		return dropped
	}
	service := r.tables["/ip/service"].named("api-ssl")
	if !service.on() || !inAny(service.fields["address"], c.from) {
		return refused
	}
	if r.sessionsOf("api-ssl") >= maxSessions(service) {
		return refused
	}
	return admitted
}

// sessionsOf counts the sessions of a service.
func (r *Router) sessionsOf(service string) int {
	n := 0
	for s := range r.sessions {
		if s.via == service {
			n++
		}
	}
	return n
}

// inAny tells whether an address is in one of the prefixes of a list; the
// empty list has all.
func inAny(list string, address netip.Addr) bool {
	if list == "" {
		return true
	}
	for _, prefix := range splitList(list) {
		if contains(prefix, address) {
			return true
		}
	}
	return false
}

// tlsConfig shows the certificate of api-ssl as it is at each handshake.
func (r *Router) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if c := r.serviceCertificate(); c != nil {
				return c, nil
			}
			// The device then offers anonymous Diffie-Hellman only, which no
			// current TLS library speaks.
			return nil, errors.New("api-ssl has no certificate")
		},
	}
}
