package httpboot

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"provision.internal/host"
)

// parseRequest reads a PEM certificate request and refuses everything that a
// host called name does not need: another name, an address, a weak key, a
// signature that is not by that key.
func parseRequest(text, name string) (*x509.CertificateRequest, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("want one certificate request in PEM")
	}
	q, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the certificate request cannot be read: %w", err)
	}
	if err := q.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the certificate request is not signed by its key: %w", err)
	}
	others := len(q.IPAddresses) + len(q.EmailAddresses) + len(q.URIs)
	switch {
	case q.Subject.CommonName != name:
		return nil, fmt.Errorf("the certificate request is for %q, not for %q", q.Subject.CommonName, name)
	case others > 0 || slices.ContainsFunc(q.DNSNames, func(n string) bool { return n != name }):
		return nil, fmt.Errorf("the certificate request asks for more than the name %q", name)
	}
	return q, checkKey(q.PublicKey)
}

func checkKey(key any) error {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize >= 256 {
			return nil
		}
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits >= 2048 && bits <= 8192 {
			return nil
		}
	}
	return fmt.Errorf("the key is too weak or unknown: want ECDSA P-256 or stronger, Ed25519, or RSA of 2048 bits or more")
}

// certificateOf answers a host's request, which parseRequest has accepted: for
// the host's name and for what its membership adds.
func certificateOf(q *x509.CertificateRequest, role string, m Membership, now time.Time) *x509.Certificate {
	c := &x509.Certificate{
		Subject:     pkix.Name{CommonName: q.Subject.CommonName},
		DNSNames:    append([]string{q.Subject.CommonName}, m.Names...),
		NotAfter:    now.AddDate(hostYears, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if role != "" {
		c.Subject.OrganizationalUnit = []string{role}
	}
	for _, ip := range m.Addresses {
		c.IPAddresses = append(c.IPAddresses, ip.AsSlice())
	}
	return c
}

// keyDigest tells keys apart.
func keyDigest(q *x509.CertificateRequest) host.Digest {
	return host.DigestOf(string(q.RawSubjectPublicKeyInfo))
}
