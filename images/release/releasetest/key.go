// Package releasetest makes releases as Void publishes them, signed with keys of its
// own, and serves them with the faults that networks have. It is for tests.
package releasetest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"slices"

	"github.com/jedisct1/go-minisign"
)

// Key signs releases.
type Key struct {
	Public  string // as minisign prints it
	private minisign.PrivateKey
}

// NewKey returns a key; the same seed gives the same one.
func NewKey(seed byte) *Key {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	k := &Key{private: minisign.PrivateKey{SignatureAlgorithm: [2]byte{'E', 'd'}, KeyId: [8]byte{seed, 1, 2, 3, 4, 5, 6, 7}}}
	copy(k.private.SecretKey[:], private)
	public := k.private.PublicKey()
	k.Public = base64.StdEncoding.EncodeToString(slices.Concat(public.SignatureAlgorithm[:], public.KeyId[:], public.PublicKey[:]))
	return k
}

// Sign returns the signature over text as minisign writes it, with Void's
// comment for the release.
func (k *Key) Sign(text []byte, release string) []byte {
	s, err := k.private.Sign(text, minisign.SignOptions{
		Hashed: true, TrustedComment: "This key is only valid for images with date " + release + ".",
	})
	if err != nil {
		panic(err) // the key is whole
	}
	return []byte(s.Encode())
}
