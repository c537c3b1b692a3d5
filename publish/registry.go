package publish

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// What a registry can do to us. The errors that wrap them say what to do next.
var (
	ErrUnreachable = errors.New("the registry does not answer")
	ErrLogin       = errors.New("the registry wants a login")
	ErrDenied      = errors.New("the registry does not let this login push")
	ErrPlain       = errors.New("the registry does not speak TLS")
	ErrCertificate = errors.New("the registry's certificate is not trusted")
)

// backoff is how an upload that broke off is tried again: after 1 s, and 3 s.
var backoff = remote.Backoff{Duration: time.Second, Factor: 3, Jitter: 0.1, Steps: 3}

// registry is where images come from and go to.
type registry struct {
	repo    name.Repository
	options []remote.Option
	pusher  *remote.Pusher
}

// connect asks the image's registry whether it is there, once and without
// patience: a person waits, and what is wrong here does not go away in seconds.
func (p Publisher) connect(ctx context.Context) (*registry, error) {
	var opts []name.Option
	if p.Insecure {
		opts = append(opts, name.Insecure)
	}
	repo, err := name.NewRepository(p.Image, opts...)
	if err != nil {
		return nil, fmt.Errorf("config.image: %w", err)
	}
	t := &guard{to: http.DefaultTransport.(*http.Transport).Clone()}
	if p.Insecure {
		t.plain = repo.RegistryStr()
	}
	if _, err := transport.Ping(ctx, repo.Registry, t); err != nil {
		return nil, explain(repo.Registry, err)
	}
	wait := backoff
	if p.backoff != (remote.Backoff{}) {
		wait = p.backoff
	}
	keys := p.Keychain
	if keys == nil {
		keys = authn.DefaultKeychain
	}
	r := &registry{repo: repo, options: []remote.Option{
		remote.WithTransport(t), remote.WithAuthFromKeychain(keys), remote.WithUserAgent("provision"),
		remote.WithRetryBackoff(wait), remote.WithRetryPredicate(func(err error) bool { return ctx.Err() == nil && passing(err) }),
	}}
	r.pusher, err = remote.NewPusher(r.options...)
	return r, err
}

// passing reports whether err may be gone in a second: the registry restarts, or
// the network broke off.
func passing(err error) bool {
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary() ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED)
}

// image finds the image ref, in whatever registry, for platform.
func (r *registry) image(ctx context.Context, ref name.Reference, platform v1.Platform) (v1.Image, error) {
	if ref.Context().RegistryStr() == r.repo.RegistryStr() && r.repo.Scheme() == "http" {
		insecure, err := name.ParseReference(ref.String(), name.Insecure)
		if err != nil {
			return nil, err
		}
		ref = insecure
	}
	image, err := remote.Image(ref, append(r.options, remote.WithContext(ctx), remote.WithPlatform(platform))...)
	if status(err) == http.StatusNotFound {
		return nil, fmt.Errorf("%s has no such image: look at its name and its tag", ref.Context().RegistryStr())
	}
	if err != nil {
		return nil, explain(ref.Context().Registry, err)
	}
	return image, nil
}

// explain turns an answer of the registry, or its silence, into words that say
// what to do.
func explain(reg name.Registry, err error) error {
	host := reg.RegistryStr()
	var dns *net.DNSError
	var op *net.OpError
	var unknown x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	var refused *transport.Error
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errPlain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%w: %s answers in plain HTTP: give it a certificate, or say config.insecure: true", ErrPlain, host)
	case errors.As(err, &unknown), errors.As(err, &wrongName), errors.As(err, &invalid), errors.As(err, &verify):
		return fmt.Errorf("%w: %s: add its authority to this machine's (/etc/ssl/certs), or name it in SSL_CERT_FILE: %w", ErrCertificate, host, err)
	case status(err) == http.StatusUnauthorized:
		return fmt.Errorf("%w: docker login %s, or another tool's, writes it to ~/.docker/config.json, which is read here; what is there now is missing or refused: %w", ErrLogin, host, err)
	case status(err) == http.StatusForbidden:
		return fmt.Errorf("%w: %s: give the login in ~/.docker/config.json the right to push, or use another: %w", ErrDenied, host, err)
	case errors.As(err, &refused):
		return fmt.Errorf("the registry %s refuses: %w", host, err)
	case errors.As(err, &dns):
		return fmt.Errorf("%w: there is no address for %s: look at config.image and at the name server: %w", ErrUnreachable, host, err)
	case errors.As(err, &op), passing(err):
		return fmt.Errorf("%w: %s: look whether it runs and whether the network leads there, and run the command again: %w", ErrUnreachable, host, err)
	}
	return fmt.Errorf("registry %s: %w", host, err)
}

// status is the HTTP status that the registry refused with; 0 for other errors.
func status(err error) int {
	var refused *transport.Error
	if !errors.As(err, &refused) {
		return 0
	}
	// Some answer 404 or 400 with the reason in the code only.
	for _, d := range refused.Errors {
		switch d.Code {
		case transport.UnauthorizedErrorCode:
			return http.StatusUnauthorized
		case transport.DeniedErrorCode:
			return http.StatusForbidden
		}
	}
	return refused.StatusCode
}

var errPlain = errors.New("plain HTTP is not allowed")

// guard lets nothing go out in the clear that the operator has not allowed. The
// library would fall back to plain HTTP for any private address, with a password
// if there is one.
type guard struct {
	to    http.RoundTripper
	plain string // host:port that may be asked so
}

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" && r.URL.Host != g.plain && !loopback(r.URL.Hostname()) {
		return nil, fmt.Errorf("%s: %w", r.URL.Host, errPlain)
	}
	return g.to.RoundTrip(r)
}

// loopback reports whether host is this machine, as Docker has it.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
