package xbps

import (
	"crypto"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
)

// What verification fails with. Each is wrapped with the file's name.
var (
	ErrKey       = errors.New("the key is not trusted")
	ErrSignature = errors.New("the signature is not valid")
	ErrHash      = errors.New("the SHA-256 is not the index's")
)

// Key is a public key that signs packages.
type Key struct {
	Public   *rsa.PublicKey
	SignedBy string // free text: who holds the private key
}

// keyFile is a key as a property list: a file of /var/db/xbps/keys, or the
// index-meta.plist of a repository.
type keyFile struct {
	PublicKey     []byte `plist:"public-key"` // PEM
	PublicKeySize int    `plist:"public-key-size"`
	SignatureBy   string `plist:"signature-by"`
	SignatureType string `plist:"signature-type,omitempty"`
}

// ParseKey reads a key file.
func ParseKey(b []byte) (Key, error) {
	var f keyFile
	if err := unmarshal(b, &f); err != nil {
		return Key{}, err
	}
	return f.key()
}

func (f keyFile) key() (Key, error) {
	if f.SignatureType != "" && f.SignatureType != "rsa" {
		return Key{}, fmt.Errorf("signature type %q: only rsa is known", f.SignatureType)
	}
	block, _ := pem.Decode(f.PublicKey)
	if block == nil {
		return Key{}, errors.New("the public key is no PEM")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Key{}, fmt.Errorf("public key: %w", err)
	}
	key, ok := pub.(*rsa.PublicKey)
	if !ok {
		return Key{}, fmt.Errorf("the public key is a %T: only RSA is known", pub)
	}
	return Key{Public: key, SignedBy: f.SignatureBy}, nil
}

func (k Key) file() (keyFile, error) {
	der, err := x509.MarshalPKIXPublicKey(k.Public)
	if err != nil {
		return keyFile{}, fmt.Errorf("public key: %w", err)
	}
	return keyFile{
		PublicKey:     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		PublicKeySize: k.Public.Size() * 8,
		SignatureBy:   k.SignedBy,
	}, nil
}

// Marshal returns k's key file and the name that it must have.
func (k Key) Marshal() (name string, content []byte, err error) {
	f, err := k.file()
	if err != nil {
		return "", nil, err
	}
	content, err = MarshalPlist(f)
	return k.Fingerprint() + ".plist", content, err
}

// Fingerprint is what XBPS calls the key by: the MD5 of its SSH form, in
// hexadecimal with colons. It names a key and proves nothing.
func (k Key) Fingerprint() string {
	var b []byte
	for _, field := range [][]byte{[]byte("ssh-rsa"), mpint(big.NewInt(int64(k.Public.E))), mpint(k.Public.N)} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	sum := md5.Sum(b)
	return strings.ReplaceAll(fmt.Sprintf("% x", sum), " ", ":")
}

// mpint is RFC 4251's form of a positive number: the highest bit is a sign.
func mpint(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) > 0 && b[0]&0x80 != 0 {
		return append([]byte{0}, b...)
	}
	return b
}

// Keys are the trusted keys by fingerprint.
type Keys map[string]Key

// LoadKeys reads the key files in dir. A file whose name is not its key's
// fingerprint is an error: XBPS looks keys up by that name.
func LoadKeys(dir string) (Keys, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.plist"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("trusted keys: %w", err)
	}
	keys := Keys{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		k, err := ParseKey(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if want := k.Fingerprint(); filepath.Base(name) != want+".plist" {
			return nil, fmt.Errorf("%s holds the key %s: rename it to %s.plist", name, want, want)
		}
		keys[k.Fingerprint()] = k
	}
	return keys, nil
}

// Verify checks a signature by the key fingerprint over the SHA-256 digest of
// a whole package file.
func (ks Keys) Verify(fingerprint string, digest [sha256.Size]byte, signature []byte) error {
	k, ok := ks[fingerprint]
	if !ok {
		return fmt.Errorf("%w: %s; put its file among the trusted keys if it is right", ErrKey, fingerprint)
	}
	if err := rsa.VerifyPKCS1v15(k.Public, crypto.SHA256, digest[:], signature); err != nil {
		return fmt.Errorf("%w for the key %s", ErrSignature, fingerprint)
	}
	return nil
}
