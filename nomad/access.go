package nomad

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/nomad/api"
)

// Access is how the cluster's API is reached.
type Access struct {
	// Addresses are the servers' URLs, at least one. A server that cannot be
	// reached or has no leader is passed over.
	Addresses []string
	// Token is asked for at every request, so that it may be rotated; nil where
	// the cluster has no ACLs. An empty token is that of nobody.
	Token func() (string, error)
	// TLS names the authority, the server's name and the appliance's certificate.
	TLS *tls.Config
}

// Access reads what c names on disk.
func (c Config) Access() (Access, error) {
	a := Access{Addresses: []string{c.Address}, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
	carrier := &http.Client{Transport: &http.Transport{TLSClientConfig: a.TLS}}
	err := api.ConfigureTLS(carrier, &api.TLSConfig{
		CACert: c.CA, ClientCert: c.Cert, ClientKey: c.Key, TLSServerName: c.serverName(),
	})
	if err != nil {
		return Access{}, fmt.Errorf("TLS for %s: %w", c.Address, err)
	}
	if c.TokenFile != "" {
		a.Token = TokenFile(c.TokenFile)
	}
	return a, nil
}

// TokenFile reads the token from a file each time that it is asked for.
func TokenFile(name string) func() (string, error) {
	return func() (string, error) {
		token, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("read the Nomad token: %w", err)
		}
		return strings.TrimSpace(string(token)), nil
	}
}

// Client makes a client of Nomad's library that goes on to the next address
// when one is of no use. It does not talk to the cluster.
func (a Access) Client(region, namespace string) (*api.Client, error) {
	if len(a.Addresses) == 0 {
		return nil, errors.New("no address of a Nomad server is known")
	}
	t := &transport{token: a.Token, slots: make(chan struct{}, requests)}
	for _, address := range a.Addresses {
		u, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("address of a Nomad server: %w", err)
		}
		t.peers = append(t.peers, u)
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.Proxy = nil // the servers are in the rack
	base.MaxIdleConnsPerHost = requests
	base.DialContext = (&net.Dialer{Timeout: dialTime, KeepAlive: dialTime}).DialContext
	base.TLSClientConfig = a.TLS.Clone() // a transport completes its own
	t.next = base
	c, err := api.NewClient(&api.Config{
		Address: a.Addresses[0], Region: region, Namespace: namespace, HttpClient: &http.Client{Transport: t},
	})
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", a.Addresses[0], err)
	}
	return c, nil
}

// dialTime bounds one connection's making: a server without power answers
// nothing at all, and the next one is asked.
const dialTime = 5 * time.Second

// transport adds the token, holds back what exceeds the bound, and goes on to
// the next server when one is of no use.
type transport struct {
	next  http.RoundTripper
	token func() (string, error)
	peers []*url.URL
	at    atomic.Uint32 // counts the moves from one peer to the next
	slots chan struct{}
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != streamPath {
		select {
		case t.slots <- struct{}{}:
			defer func() { <-t.slots }()
		case <-req.Context().Done():
			return nil, context.Cause(req.Context())
		}
	}
	token := ""
	if t.token != nil {
		var err error
		if token, err = t.token(); err != nil {
			return nil, err
		}
	}
	for try := 1; ; try++ {
		at := t.at.Load()
		peer := t.peers[int(at)%len(t.peers)]
		one := req.Clone(req.Context())
		one.URL.Scheme, one.URL.Host, one.Host = peer.Scheme, peer.Host, peer.Host
		if token != "" {
			one.Header.Set("X-Nomad-Token", token)
		}
		resp, err := t.next.RoundTrip(one)
		useless, undone := verdictOf(resp, err)
		if !useless || req.Context().Err() != nil {
			return resp, err
		}
		// Several requests may fail together: they move on together.
		t.at.CompareAndSwap(at, at+1)
		if !undone || try >= len(t.peers) || !rewind(req) {
			return resp, err
		}
		if resp != nil {
			resp.Body.Close()
		}
	}
}

// verdictOf reports whether the server is of no use now, and whether the request
// was certainly not carried out.
func verdictOf(resp *http.Response, err error) (useless, undone bool) {
	if err != nil {
		var dial *net.OpError
		return true, errors.As(err, &dial) && dial.Op == "dial"
	}
	if resp.StatusCode != http.StatusInternalServerError {
		return false, false
	}
	const most = 256 // far above what a server says that has no leader
	start, _ := io.ReadAll(io.LimitReader(resp.Body, most))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
	leaderless := strings.Contains(string(start), "No cluster leader")
	return leaderless, leaderless
}

// SilentError tells that no connection to a server could be made.
type SilentError struct {
	Address string // the server's HOST:PORT
	Err     error  // as the network tells it
}

func (e *SilentError) Error() string { return e.Address + " does not answer: " + e.Reason() }

// Reason is what the network said, in short: connection refused, i/o timeout.
func (e *SilentError) Reason() string {
	if call, ok := errors.AsType[*os.SyscallError](e.Err); ok {
		return call.Err.Error()
	}
	return e.Err.Error()
}

func (e *SilentError) Unwrap() error { return e.Err }

// explainSilence says which server could not be reached, without the request that
// was to be sent there.
func explainSilence(err error) error {
	dial, ok := errors.AsType[*net.OpError](err)
	if !ok || dial.Op != "dial" || dial.Addr == nil {
		return err
	}
	return &SilentError{Address: dial.Addr.String(), Err: dial.Err}
}

// ErrAuthority: a server's certificate is not one that the appliance trusts.
var ErrAuthority = errors.New("the server's certificate is not trusted")

// explainTLS says what is wrong with a server's certificate.
func explainTLS(err error) error {
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		signer := "somebody"
		if unknown.Cert != nil {
			signer = unknown.Cert.Issuer.String()
		}
		return fmt.Errorf("%w: %s has signed it, which is another authority than the cluster's: %w", ErrAuthority, signer, err)
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("%w: it is not for the name %s, which a server of the region has: %w", ErrAuthority, name.Host, err)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return fmt.Errorf("%w: it is not valid now; compare the clocks of both machines: %w", ErrAuthority, err)
	}
	return err
}

// rewind lets req be sent again, where that can be.
func rewind(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		return true
	}
	if req.GetBody == nil {
		return false
	}
	body, err := req.GetBody()
	req.Body = body
	return err == nil
}
