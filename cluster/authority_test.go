package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// caFiles writes an authority as an operator has it; change spoils it.
func caFiles(t *testing.T, change func(*x509.Certificate)) (certificate, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the operator's"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	for name, b := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

func testAuthority(t *testing.T) Authority {
	t.Helper()
	certificate, key := caFiles(t, nil)
	a, err := OpenAuthority(certificate, key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestOperatorsAuthority(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*x509.Certificate)
		want  string
	}{
		{"no authority", func(c *x509.Certificate) { c.IsCA = false }, "CA:TRUE"},
		{"may not sign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, "keyCertSign"},
		{"ends soon", func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, 20) }, "renew it first"},
		{"not yet", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, "clock"},
	} {
		certificate, key := caFiles(t, test.spoil)
		if _, err := OpenAuthority(certificate, key, time.Now); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	certificate, key := caFiles(t, nil)
	_, other := caFiles(t, nil)
	if _, err := OpenAuthority(certificate, other, time.Now); err == nil || !strings.Contains(err.Error(), "does not match") {
		t.Errorf("another's key: %v", err)
	}
	if _, err := OpenAuthority(certificate, "", time.Now); err == nil {
		t.Error("an authority without a key was taken")
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(certificate, key, time.Now); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that everybody may read: %v", err)
	}
}

// What is signed ends with the authority, and is for a server's names alone.
func TestCertify(t *testing.T) {
	r := newRig(t, Config{})
	f := r.open(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.Certify("node1", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	c, ca := parse(t, text), parse(t, r.site.Authority.PEM())
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, name := range []string{"server.global.nomad", "client.global.nomad", "node1", "localhost", "127.0.0.1"} {
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("for %s: %v", name, err)
		}
	}
	if c.NotAfter.After(ca.NotAfter) || c.IsCA {
		t.Errorf("it ends at %s, the authority at %s; an authority: %v", c.NotAfter, ca.NotAfter, c.IsCA)
	}
	if _, err := f.Certify("node9", key.Public()); err == nil {
		t.Error("a host that is no server got a server's certificate")
	}
}
