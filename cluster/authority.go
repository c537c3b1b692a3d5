package cluster

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Authority signs the certificates of the cluster's members.
type Authority interface {
	// PEM is what members trust.
	PEM() []byte
	// Sign completes and signs the certificate of key, and returns it in PEM. It
	// ends with its NotAfter, or earlier with the authority.
	Sign(c *x509.Certificate, key any) ([]byte, error)
}

// SoonExpired is how long before its end an operator's authority is refused:
// what it signs would end with it, in the middle of a cluster's life.
const SoonExpired = 30 * 24 * time.Hour

// backdate lets machines take part whose clocks are behind.
const backdate = time.Hour

// operators is the operator's own authority. Intermediate ones stand in their
// file before the one that signed them.
type operators struct {
	certificate *x509.Certificate
	chain       []byte
	key         crypto.Signer
	now         func() time.Time
}

// OpenAuthority reads the operator's authority from two files in PEM. It is
// refused when it cannot sign, its key is another's or may be read by others, or
// its end is near.
func OpenAuthority(certificate, key string, now func() time.Time) (Authority, error) {
	if certificate == "" || key == "" {
		return nil, errors.New("an authority is a certificate and its key: give both files, or none for the appliance's own")
	}
	info, err := os.Stat(key)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others than its owner may read %s: chmod 600 it", key)
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certificate, key, err)
	}
	a := &operators{certificate: pair.Leaf, now: now}
	for _, der := range pair.Certificate {
		a.chain = append(a.chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	switch c := pair.Leaf; {
	case !ok:
		return nil, fmt.Errorf("%s holds no key that signs", key)
	case !c.BasicConstraintsValid || !c.IsCA:
		return nil, fmt.Errorf("%s is no authority's certificate (CA:TRUE is missing)", certificate)
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("%s may not sign certificates (its key usage lacks keyCertSign)", certificate)
	case now().Before(c.NotBefore):
		return nil, fmt.Errorf("%s is valid from %s on only: look at this machine's clock", certificate, c.NotBefore.Format(time.RFC3339))
	case now().Add(SoonExpired).After(c.NotAfter):
		return nil, fmt.Errorf("%s ends at %s: renew it first", certificate, c.NotAfter.Format(time.RFC3339))
	}
	a.key = signer
	return a, nil
}

func (a *operators) PEM() []byte { return bytes.Clone(a.chain) }

func (a *operators) Sign(c *x509.Certificate, key any) ([]byte, error) {
	one := *c
	var serial [16]byte
	rand.Read(serial[:])
	one.SerialNumber = new(big.Int).SetBytes(serial[:])
	one.NotBefore = a.now().Add(-backdate)
	if one.NotBefore.Before(a.certificate.NotBefore) {
		one.NotBefore = a.certificate.NotBefore
	}
	if one.NotAfter.After(a.certificate.NotAfter) {
		one.NotAfter = a.certificate.NotAfter
	}
	one.KeyUsage = x509.KeyUsageDigitalSignature
	one.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, &one, a.certificate, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", c.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// serverYears is how long a server's certificate is valid, as an installed
// host's: nothing renews it but a new installation.
const serverYears = 10

// Certify signs the certificate of the server called name for key, in PEM.
func (f *Founder) Certify(name string, key crypto.PublicKey) ([]byte, error) {
	dns, ips := f.Names(name)
	if dns == nil {
		return nil, fmt.Errorf("%s is no server of the cluster", name)
	}
	c := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    append([]string{name}, dns...),
		NotAfter:    f.site.now().AddDate(serverYears, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, ip := range ips {
		c.IPAddresses = append(c.IPAddresses, ip.AsSlice())
	}
	return f.site.Authority.Sign(c, key)
}

// Names are what the certificate of the server called name is for, beside its
// own name; none when it is no server.
func (f *Founder) Names(name string) (dns []string, ips []netip.Addr) {
	s, ok := f.server(name)
	if !ok {
		return nil, nil
	}
	region := f.site.region()
	return []string{"server." + region + ".nomad", "client." + region + ".nomad", "localhost"},
		[]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), s.Address}
}

// Of the appliance's own certificate, which lives in memory only.
const (
	ownValid = 90 * 24 * time.Hour
	ownRenew = 30 * 24 * time.Hour // before the end
)

// own is the certificate that the appliance shows to servers.
type own struct {
	site Site
	mu   sync.Mutex
	last *tls.Certificate
}

func (o *own) get(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.site.now()
	if o.last != nil && now.Before(o.last.Leaf.NotAfter.Add(-ownRenew)) {
		return o.last, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	name := "cli." + o.site.region() + ".nomad"
	text, err := o.site.Authority.Sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: now.Add(ownValid),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key.Public())
	if err != nil {
		return nil, err
	}
	leaf, err := parseCertificate(text)
	if err != nil {
		return nil, err
	}
	o.last = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	return o.last, nil
}

// parseCertificate reads the first certificate of text.
func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("a certificate of the cluster's authority is not in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
