package ros

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const pinPrefix = "sha256:"

// Pin is the SHA-256 of a router's certificate in DER, which is what RouterOS
// shows as the certificate's fingerprint. The zero Pin is of no certificate.
type Pin [sha256.Size]byte

// PinOf is the pin of a certificate in DER.
func PinOf(der []byte) Pin { return sha256.Sum256(der) }

// ParsePin reads what String writes, or a fingerprint as the router shows it.
func ParsePin(s string) (Pin, error) {
	digits := strings.TrimPrefix(s, pinPrefix)
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != sha256.Size {
		return Pin{}, fmt.Errorf("%q is no certificate pin: want %s and 64 hexadecimal digits", s, pinPrefix)
	}
	return Pin(b), nil
}

// IsZero reports whether no certificate is named.
func (p Pin) IsZero() bool { return p == Pin{} }

// String is "sha256:" and 64 digits, or nothing for the zero Pin.
func (p Pin) String() string {
	if p.IsZero() {
		return ""
	}
	return pinPrefix + hex.EncodeToString(p[:])
}

// MarshalText is String.
func (p Pin) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePin; nothing is the zero Pin.
func (p *Pin) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*p = Pin{}
		return nil
	}
	*p, err = ParsePin(string(text))
	return err
}
