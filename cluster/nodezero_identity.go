package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"provision.internal/nomad"
)

// Key returns the machine's own key at name, which is made at the first call.
// Nothing is made beside somebody else's configuration: ErrForeign.
func (z *NodeZero) Key(name string) (*ecdsa.PrivateKey, error) {
	b, err := os.ReadFile(z.path(name))
	switch {
	case err == nil:
		return parseKey(name, b)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := z.Check(); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return key, z.write(nomad.File{Path: name, Mode: 0o600, Content: string(text)})
}

func parseKey(name string, text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file: move it away, and a new key is made", name)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: move it away, and a new key is made", name, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is a %T, not of ECDSA: move it away, and a new key is made", name, parsed)
	}
	return key, nil
}

// Identify makes the identity of the machine's Nomad client, where it has none.
// Nomad would make one itself, but does not sync it, while its servers sync what
// they know of the node: see the first boot of installed hosts.
func (z *NodeZero) Identify() error {
	for _, name := range []string{"client-id", "secret-id"} {
		file := filepath.Join(nomad.DataDir, "client", name)
		switch b, err := os.ReadFile(z.path(file)); {
		case err == nil && len(b) > 0:
			continue
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := z.write(nomad.File{Path: file, Mode: 0o600, Content: newUUID()}); err != nil { // no final newline, as Nomad writes it
			return err
		}
	}
	return nil
}

// renewal is how long before its end a certificate is signed anew.
const renewal = 365 * 24 * time.Hour

// Certify returns the machine's certificate as the server called server of the
// cluster that f founds: the one at name while it will do, or a new one.
func (z *NodeZero) Certify(f *Founder, server, name string, key *ecdsa.PrivateKey) (nomad.File, error) {
	file := nomad.File{Path: name, Mode: 0o644}
	have, err := os.ReadFile(z.path(name))
	switch {
	case err == nil && f.certifies(have, server, key):
		file.Content = string(have)
		return file, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return file, err
	}
	made, err := f.Certify(server, key.Public())
	file.Content = string(made)
	return file, err
}

// certifies reports whether text is a certificate as Certify signs it now, with
// time left.
func (f *Founder) certifies(text []byte, server string, key *ecdsa.PrivateKey) bool {
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !key.PublicKey.Equal(c.PublicKey) {
		return false
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(f.site.Authority.PEM())
	now := f.site.now()
	names, ips := f.Names(server)
	for _, ip := range ips {
		names = append(names, ip.String())
	}
	for _, name := range names {
		_, err := c.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			return false
		}
	}
	return now.Add(renewal).Before(c.NotAfter)
}

// newUUID returns a random one (RFC 9562 §5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
