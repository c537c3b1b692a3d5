package dhcp

import (
	"encoding/binary"
	"net/netip"

	"provision.internal/host"
)

const (
	ipv6Len = 40

	icmpv6Solicit   = 133
	icmpv6Advertise = 134
)

var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = host.MAC{0x33, 0x33, 0, 0, 0, 1}
	// allRoutersMAC is where solicitations are sent to.
	allRoutersMAC = host.MAC{0x33, 0x33, 0, 0, 0, 2}
)

// advertisement answers the IPv6 router solicitation in frame, nil when it is
// none. iPXE waits 12.8 s at every boot for a router; an advertisement with
// router lifetime 0 ends the wait and makes a router of nobody (RFC 4861
// §6.2.3). For the same reason it carries no prefix, and is never sent
// unasked.
func advertisement(frame []byte, self host.MAC) []byte {
	if len(frame) < etherLen+ipv6Len+8 || binary.BigEndian.Uint16(frame[12:]) != etherIPv6 {
		return nil
	}
	from := host.MAC(frame[6:12])
	ip := frame[etherLen:]
	size := int(binary.BigEndian.Uint16(ip[4:]))
	if ip[0]>>4 != 6 || ip[6] != 58 || ip[7] != 255 || size < 8 || len(ip) < ipv6Len+size || from == self || from[0]&1 != 0 {
		return nil // hop limit 255 proves that it was sent on this link
	}
	icmp := ip[ipv6Len : ipv6Len+size]
	if icmp[0] != icmpv6Solicit || icmp[1] != 0 || icmpv6Sum(ip, icmp) != 0 {
		return nil
	}
	src := netip.AddrFrom16([16]byte(ip[8:24]))
	switch {
	case src.IsUnspecified():
		return routerAdvertisement(self, allNodesMAC, allNodes)
	case src.IsLinkLocalUnicast():
		return routerAdvertisement(self, from, src)
	}
	return nil
}

func routerAdvertisement(self, mac host.MAC, to netip.Addr) []byte {
	b := make([]byte, etherLen+ipv6Len+16)
	putEther(b, mac, self, etherIPv6)
	ip := b[etherLen:]
	ip[0] = 0x60
	binary.BigEndian.PutUint16(ip[4:], 16)
	ip[6], ip[7] = 58, 255
	src, dst := linkLocal(self).As16(), to.As16()
	copy(ip[8:], src[:])
	copy(ip[24:], dst[:])
	icmp := ip[ipv6Len:]
	icmp[0] = icmpv6Advertise
	icmp[4] = 0 // hop limit: not told; flags, lifetime and timers stay 0 too
	binary.BigEndian.PutUint16(icmp[2:], icmpv6Sum(ip, icmp))
	return b
}

// icmpv6Sum is the checksum over the pseudo-header and the message; 0 for a
// message that carries the right one.
func icmpv6Sum(ip, icmp []byte) uint16 {
	return checksum(sumOf(ip[8:ipv6Len])+uint32(len(icmp))+58, icmp)
}

// linkLocal is the address that a machine derives from its MAC (RFC 4291
// appendix A). Nobody need reach it, so that it works where IPv6 is off.
func linkLocal(m host.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}
