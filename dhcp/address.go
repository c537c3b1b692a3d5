package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Addresses are counted as 32-bit numbers inside a pool.

func bits(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func addrOf(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// fromIP turns the codec's form into ours; the unspecified address and what is
// not IPv4 become the zero Addr, which means absent.
func fromIP(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// broadcast is everybody on the link.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
