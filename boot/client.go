package boot

import (
	"encoding/binary"
	"strings"

	"provision.internal/host"
)

// Platform is what a network boot loader must be built for.
type Platform string

// The platforms that the appliance can boot. Unknown is every other one.
const (
	Unknown   Platform = ""
	BIOS      Platform = "bios"
	UEFIx64   Platform = "uefi-x86_64"
	UEFIarm64 Platform = "uefi-aarch64"
)

// Arch is the name that XBPS gives to the processor architecture.
func (p Platform) Arch() string {
	switch p {
	case BIOS, UEFIx64:
		return "x86_64"
	case UEFIarm64:
		return "aarch64"
	}
	return ""
}

// Client is a machine as one DHCP packet or HTTP request shows it.
type Client struct {
	MAC      host.MAC
	UUID     host.UUID // zero when not told
	Platform Platform
	Arch     uint16 // option 93 as sent, for the event about an unknown one
	PXE      bool   // asks for a boot file at all; false for an operating system
	HTTP     bool   // UEFI HTTP boot: wants a URL, not a TFTP name
	IPXE     bool   // is iPXE already: wants a script
}

// Options are the DHCP options that tell clients apart, as raw bytes; nil when
// absent.
type Options struct {
	VendorClass []byte // 60
	UserClass   []byte // 77
	Arch        []byte // 93
	UUID        []byte // 97
	IPXE        []byte // 175
}

// Classify tells what sent o from the hardware address mac. It accepts any
// bytes: what it cannot read counts as absent.
//
// Option 60 alone says nothing certain: iPXE says PXEClient even after an HTTP
// boot, so 77 and 175 are looked at first. Some firmwares send architecture 7
// (EFI BC) and some 9 (EFI x86-64) for the same machine; RFC 4578 and its
// errata swapped them once.
func Classify(mac host.MAC, o Options) Client {
	c := Client{MAC: mac, UUID: uuidOf(o.UUID)}
	vendor := string(o.VendorClass)
	c.IPXE = isIPXE(o)
	c.HTTP = !c.IPXE && strings.HasPrefix(vendor, "HTTPClient")
	c.PXE = c.IPXE || c.HTTP || strings.HasPrefix(vendor, "PXEClient")
	if !c.PXE {
		return c
	}
	if len(o.Arch) >= 2 {
		c.Arch = binary.BigEndian.Uint16(o.Arch)
		c.Platform = platformOf(c.Arch)
	}
	return c
}

// platformOf maps the registry "Processor Architecture Types" of RFC 5970.
func platformOf(arch uint16) Platform {
	switch arch {
	case 0:
		return BIOS
	case 7, 9, 16:
		return UEFIx64
	case 11, 19:
		return UEFIarm64
	}
	return Unknown
}

// isIPXE: the user class is "iPXE", bare as iPXE sends it or in the
// length-prefixed form of RFC 3004; option 175 is encapsulated and never empty.
func isIPXE(o Options) bool {
	class := string(o.UserClass)
	return class == "iPXE" || class == "\x04iPXE" || len(o.IPXE) > 0
}

// uuidOf reads option 97: a type byte, zero, and 16 bytes (RFC 4578 §2.3).
func uuidOf(b []byte) host.UUID {
	if len(b) != 17 || b[0] != 0 {
		return host.UUID{}
	}
	return host.UUID(b[1:])
}
