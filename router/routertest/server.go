package routertest

import "net"

// conn is one connection to the API.
type conn struct {
	net.Conn
	router  *Router
	session *session
}

// Listen opens the API over TLS at addr, such as "127.0.0.1:0".
func (r *Router) Listen(addr string) error { return nil }

// Addr is where Listen listens, HOST:PORT; the first one of several.
func (r *Router) Addr() string { return "" }

// Pin is the SHA-256 of the certificate that api-ssl shows.
func (r *Router) Pin() [32]byte { return [32]byte{} }

// Close ends all connections and waits for them.
func (r *Router) Close() {}
