package host

import (
	"encoding/hex"
	"fmt"
	"net"
	"strings"
)

// MAC is an Ethernet address. Its text form is lower case with colons.
type MAC [6]byte

// ParseMAC reads the forms that people and vendors write: with colons, dashes,
// dots or nothing between the digits.
func ParseMAC(s string) (MAC, error) {
	text := strings.TrimSpace(s)
	b, err := net.ParseMAC(text)
	if err != nil {
		b, err = hex.DecodeString(text)
	}
	if err != nil || len(b) != len(MAC{}) {
		return MAC{}, fmt.Errorf("%q is no MAC address: want six bytes such as 52:54:00:12:34:56", s)
	}
	return MAC(b), nil
}

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// IsZero reports whether m is not set.
func (m MAC) IsZero() bool { return m == MAC{} }

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMAC(string(b))
	return err
}

// UUID is a machine's SMBIOS UUID in the byte order of RFC 4122 text. The zero
// value means that the machine has none or has not told it: firmware without
// one sends zeros (RFC 4578 §2.3).
type UUID [16]byte

// ParseUUID reads the text form, in either case, with or without its dashes.
func ParseUUID(s string) (UUID, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(s), "-", ""))
	if err != nil || len(b) != len(UUID{}) {
		return UUID{}, fmt.Errorf("%q is no UUID: want one such as 01020304-0506-0708-090a-0b0c0d0e0f10", s)
	}
	return UUID(b), nil
}

func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// IsZero reports whether u is not known.
func (u UUID) IsZero() bool { return u == UUID{} }

// Fits reports whether a machine that says seen may be the one known as u. An
// unknown UUID on either side fits, and so does the same one with its first
// three fields byte-swapped: SMBIOS stores them little-endian, and firmwares
// disagree about which form option 97 carries.
func (u UUID) Fits(seen UUID) bool {
	if u.IsZero() || seen.IsZero() || u == seen {
		return true
	}
	return u == seen.swapped()
}

func (u UUID) swapped() UUID {
	return UUID{u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6],
		u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]}
}

// MarshalText implements encoding.TextMarshaler.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *UUID) UnmarshalText(b []byte) (err error) {
	*u, err = ParseUUID(string(b))
	return err
}
