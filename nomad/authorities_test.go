package nomad

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"
)

// authorities are the two that a secured cluster has to do with: its own, and
// the appliance's, which signs the hosts' certificates.
type authorities struct {
	t                  *testing.T
	cluster, appliance *authority
}

func newAuthorities(t *testing.T) *authorities {
	return &authorities{t, newAuthority(t, "cluster"), newAuthority(t, "appliance")}
}

// secure completes cfg, and returns what the server's configuration needs. The
// server trusts both authorities; the appliance and the hosts know it by its own.
func (a *authorities) secure(cfg Config) (server string, _ Config) {
	cert, key := a.cluster.sign(a.t, "server.global.nomad", "localhost")
	server = fmt.Sprintf(`
acl {
  enabled = true
}
tls {
  http                   = true
  rpc                    = true
  verify_server_hostname = true
  verify_https_client    = true
  ca_file                = %q
  cert_file              = %q
  key_file               = %q
}
`, file(a.t, "ca.pem", a.cluster.pem+a.appliance.pem), file(a.t, "server.pem", cert), file(a.t, "server.key", key))
	cert, key = a.cluster.sign(a.t, "cli.global.nomad")
	cfg.Address = "https" + cfg.Address[len("http"):]
	cfg.CA, cfg.Cert, cfg.Key = file(a.t, "ca.pem", a.cluster.pem), file(a.t, "cli.pem", cert), file(a.t, "cli.key", key)
	return server, cfg
}

// host are the files that the first boot has by itself.
func (a *authorities) host(h Client) []File {
	cert, key := a.appliance.sign(a.t, append([]string{h.Name}, Config{}.ClientNames()...)...)
	return []File{{h.Certificate, 0o644, cert}, {h.Key, 0o600, key}}
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.pem = encode("CERTIFICATE", der)
	return a
}

// sign makes a certificate for loopback with names, and its key.
func (a *authority) sign(t *testing.T, names ...string) (cert, key string) {
	k := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotAfter: a.cert.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return encode("CERTIFICATE", der), encode("EC PRIVATE KEY", raw)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
