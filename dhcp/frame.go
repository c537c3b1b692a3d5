package dhcp

import (
	"encoding/binary"
	"net/netip"

	"provision.internal/host"
)

// EtherTypes.
const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

var broadcastMAC = host.MAC{255, 255, 255, 255, 255, 255}

const (
	etherLen = 14
	ipv4Len  = 20
	udpLen   = 8
)

// frameHeaders is the room that a reply begins with.
const frameHeaders = etherLen + ipv4Len + udpLen

// putHeaders makes b, which has room for them at its start, a frame to a machine that
// need not answer ARP.
func putHeaders(b []byte, srcMAC, dstMAC host.MAC, src, dst netip.AddrPort) {
	putEther(b, dstMAC, srcMAC, etherIPv4)

	ip := b[etherLen:]
	from, to := src.Addr().As4(), dst.Addr().As4()
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[8] = 64
	ip[9] = 17
	copy(ip[12:], from[:])
	copy(ip[16:], to[:])
	binary.BigEndian.PutUint16(ip[10:], checksum(0, ip[:ipv4Len]))

	udp := ip[ipv4Len:]
	binary.BigEndian.PutUint16(udp, src.Port())
	binary.BigEndian.PutUint16(udp[2:], dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	sum := checksum(sumOf(ip[12:20])+17+uint32(len(udp)), udp)
	if sum == 0 {
		sum = 0xffff // zero would say that there is none
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
}

func putEther(b []byte, dst, src host.MAC, kind uint16) {
	copy(b, dst[:])
	copy(b[6:], src[:])
	binary.BigEndian.PutUint16(b[12:], kind)
}

// sumOf adds b up as 16-bit words, as the internet checksum does (RFC 1071).
func sumOf(b []byte) uint32 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// checksum is the internet checksum of b, and of what sum adds up already.
func checksum(sum uint32, b []byte) uint16 {
	sum += sumOf(b)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
