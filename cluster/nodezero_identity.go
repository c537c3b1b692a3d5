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

// newUUID returns a random one (RFC 9562 §5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
