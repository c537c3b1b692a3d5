package httpboot

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, dir string, now func() time.Time) *Authority {
	t.Helper()
	a, err := LoadAuthority(dir, []string{"provision"}, []netip.Addr{local}, now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAuthorityIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made at the first start")
	now := func() time.Time { return t0 }
	first := load(t, dir, now)
	for name, want := range map[string]os.FileMode{"ca.key": 0o600, "ca.pem": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want mode %o", name, info.Mode(), err, want)
		}
	}
	if again := load(t, dir, now); !bytes.Equal(again.PEM(), first.PEM()) {
		t.Error("a second start made another authority")
	}
	// The certificate alone can be made again: who trusts the lost one goes on.
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	again := load(t, dir, now)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(first.PEM())
	server, err := again.serverCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "provision", CurrentTime: t0}); err != nil {
		t.Errorf("the old certificate does not vouch for the new server: %v", err)
	}
}

func TestAuthorityThatIsDamaged(t *testing.T) {
	now := func() time.Time { return t0 }
	for name, spoil := range map[string]func(dir string) error{
		"the key is gone":  func(dir string) error { return os.Remove(filepath.Join(dir, "ca.key")) },
		"the key is empty": func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.key"), nil, 0o600) },
		"no PEM":           func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("x"), 0o644) },
		"another key": func(dir string) error {
			_, err := createKey(filepath.Join(dir, "ca.key"))
			return err
		},
	} {
		dir := t.TempDir()
		load(t, dir, now)
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		_, err := LoadAuthority(dir, nil, nil, now)
		if err == nil || !strings.Contains(err.Error(), "put both back") || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want an error that says what to do", name, err)
		}
	}
	dir := t.TempDir()
	load(t, dir, now)
	if _, err := LoadAuthority(dir, nil, nil, func() time.Time { return t0.AddDate(authorityYears, 0, 1) }); err == nil {
		t.Error("an expired authority was accepted")
	}
}

func TestServerCertificateIsRenewed(t *testing.T) {
	at := t0
	a := load(t, t.TempDir(), func() time.Time { return at })
	serial := func() string {
		t.Helper()
		c, err := a.serverCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.SerialNumber.String()
	}
	first := serial()
	at = t0.Add(serverValid - serverRenew - time.Minute)
	if serial() != first {
		t.Error("renewed long before its end")
	}
	at = t0.Add(serverValid - serverRenew)
	if serial() == first {
		t.Error("not renewed before its end")
	}
}

// A client that pins the authority reaches the server by its address, and
// nobody else's server.
func TestTLS(t *testing.T) {
	a := load(t, t.TempDir(), time.Now)
	l, err := tls.Listen("tcp", "127.0.0.1:0", a.TLS())
	if err != nil {
		t.Fatal(err)
	}
	server := NewHTTPServer(http.NotFoundHandler(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	go server.Serve(l)
	defer server.Close()
	get := func(pinned *Authority) error {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pinned.PEM())
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("https://" + l.Addr().String())
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := get(a); err != nil {
		t.Errorf("pinned to its authority: %v", err)
	}
	if err := get(load(t, t.TempDir(), time.Now)); err == nil {
		t.Error("pinned to another authority: the server was trusted")
	}
}
