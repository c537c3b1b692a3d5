package dhcp

import (
	"encoding/binary"
	"net/netip"

	"provision.internal/host"
)

const arpLen = 28

// arpProbe asks who has target, without claiming an address (RFC 5227 §2.1.1):
// whoever hears it learns nothing wrong about us.
func arpProbe(src host.MAC, target netip.Addr) []byte {
	b := make([]byte, etherLen+arpLen)
	putEther(b, broadcastMAC, src, etherARP)
	arp := b[etherLen:]
	binary.BigEndian.PutUint16(arp, 1) // Ethernet
	binary.BigEndian.PutUint16(arp[2:], etherIPv4)
	arp[4], arp[5] = 6, 4
	binary.BigEndian.PutUint16(arp[6:], 1) // request
	copy(arp[8:], src[:])
	to := target.As4()
	copy(arp[24:], to[:])
	return b
}

// arpSender tells who says in frame that it has which address: requests and
// answers both tell. A probe, which claims none, is no news.
func arpSender(frame []byte) (netip.Addr, host.MAC, bool) {
	if len(frame) < etherLen+arpLen || binary.BigEndian.Uint16(frame[12:]) != etherARP {
		return netip.Addr{}, host.MAC{}, false
	}
	arp := frame[etherLen:]
	if binary.BigEndian.Uint16(arp) != 1 || binary.BigEndian.Uint16(arp[2:]) != etherIPv4 || arp[4] != 6 || arp[5] != 4 {
		return netip.Addr{}, host.MAC{}, false
	}
	mac, addr := host.MAC(arp[8:14]), netip.AddrFrom4([4]byte(arp[14:18]))
	if mac.IsZero() || mac[0]&1 != 0 || !usable(addr) {
		return netip.Addr{}, host.MAC{}, false
	}
	return addr, mac, true
}
