package httpboot

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// How long certificates are valid. The authority's own outlives the appliance,
// because every installed host trusts exactly it. Clocks of machines that were
// just powered on are set by the appliance, to the second: backdate covers that
// and more.
const (
	authorityYears = 30
	hostYears      = 10
	serverValid    = 90 * 24 * time.Hour
	serverRenew    = 30 * 24 * time.Hour // before the end
	backdate       = time.Hour
)

// Authority is the appliance's own certificate authority. Agents and installed
// hosts trust it and no other. Its key never leaves the state folder.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	names       []string
	ips         []net.IP
	now         func() time.Time

	mu     sync.Mutex
	server *tls.Certificate // of this appliance, for names and ips
}

// LoadAuthority reads the authority in the folder dir, or makes one at the first
// start, and makes a certificate of the server that machines reach by names and
// ips.
func LoadAuthority(dir string, names []string, ips []netip.Addr, now func() time.Time) (*Authority, error) {
	a := &Authority{names: names, now: now}
	for _, ip := range ips {
		a.ips = append(a.ips, ip.AsSlice())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the appliance's authority: %w", err)
	}
	certFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	cert, certErr := os.ReadFile(certFile)
	key, keyErr := os.ReadFile(keyFile)
	var err error
	switch {
	case certErr == nil && keyErr == nil:
		err = a.parse(cert, key)
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		if key, err = createKey(keyFile); err == nil {
			err = a.create(certFile, key)
		}
	case errors.Is(certErr, fs.ErrNotExist) && keyErr == nil:
		// The first start was interrupted, or the file got lost. Whoever trusts the
		// lost certificate trusts the new one too: same key, same subject.
		err = a.create(certFile, key)
	default:
		err = errors.Join(certErr, keyErr)
	}
	if err != nil {
		return nil, fmt.Errorf("the appliance's authority, %s and %s: %w; put both back from a backup. Without them installed hosts do not trust this appliance: to start anew, move both away and reinstall",
			certFile, keyFile, err)
	}
	if _, err := a.serverCertificate(nil); err != nil {
		return nil, fmt.Errorf("certificate of the server: %w", err)
	}
	return a, nil
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte { return encodeCertificate(a.certificate.Raw) }

// TLS is how the secure server listens. The server's certificate is renewed
// while it runs.
func (a *Authority) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.serverCertificate}
}

func (a *Authority) parse(cert, key []byte) error {
	block, _ := pem.Decode(cert)
	if block == nil {
		return errors.New("the certificate is not in PEM")
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	signer, err := parseKey(key)
	if err != nil {
		return err
	}
	if !signer.PublicKey.Equal(parsed.PublicKey) {
		return errors.New("the key does not belong to the certificate")
	}
	if now := a.now(); now.After(parsed.NotAfter) {
		return fmt.Errorf("it expired at %s", parsed.NotAfter.Format(time.RFC3339))
	}
	a.certificate, a.key = parsed, signer
	return nil
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the key is not in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, not of ECDSA", key)
	}
	return signer, nil
}

func createKey(file string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return text, writeFile(file, text, 0o600)
}

// create makes the authority's certificate for key.
func (a *Authority) create(file string, key []byte) error {
	signer, err := parseKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return err
	}
	now := a.now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: fmt.Sprintf("provision %x", sha256.Sum256(public))[:26]},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(authorityYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return err
	}
	if err := writeFile(file, encodeCertificate(der), 0o644); err != nil {
		return err
	}
	return a.parse(encodeCertificate(der), key)
}

// serverCertificate returns the server's certificate, a new one when the last
// nears its end. It lives in memory only.
func (a *Authority) serverCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.server != nil && now.Before(a.server.Leaf.NotAfter.Add(-serverRenew)) {
		return a.server, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := a.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "provision"},
		DNSNames:    a.names,
		IPAddresses: a.ips,
		NotAfter:    now.Add(serverValid),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key.Public(), now)
	if err != nil {
		return nil, err
	}
	a.server = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	return a.server, nil
}

// Sign completes and signs the certificate of key, and returns it in PEM. It is
// valid from about now on, until its NotAfter or the authority's own end.
func (a *Authority) Sign(c *x509.Certificate, key any) ([]byte, error) {
	leaf, err := a.sign(c, key, a.now())
	if err != nil {
		return nil, err
	}
	return encodeCertificate(leaf.Raw), nil
}

// sign completes and signs the certificate of key.
func (a *Authority) sign(c *x509.Certificate, key any, now time.Time) (*x509.Certificate, error) {
	c.SerialNumber = serial()
	c.NotBefore = now.Add(-backdate)
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.BasicConstraintsValid = true
	if c.NotAfter.After(a.certificate.NotAfter) {
		c.NotAfter = a.certificate.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, key, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// serial returns 128 random bits (RFC 5280 §4.1.2.2 allows 159).
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] |= 1 // never zero
	return new(big.Int).SetBytes(b[:])
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// writeFile puts a new file in place in one step, durably.
func writeFile(name string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
