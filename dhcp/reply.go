package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"provision.internal/boot"
)

// reply is what the fields of an answer depend on, beyond the request.
type reply struct {
	kind    dhcpv4.MessageType
	address netip.Addr    // the client's from now on
	lease   time.Duration // of address
	network bool          // tell what an operating system needs
	name    string        // of the host
	file    string        // to boot
	toAll   bool          // the relay shall broadcast it
}

var (
	// Sub-option 6 (discovery control) with bit 3: boot the file named here,
	// without the discovery on port 4011 for which EDK2 would otherwise leave.
	pxeNoDiscovery = []byte{6, 1, 8, 255}

	// Option 176 (no ProxyDHCP) ends iPXE's wait of 3 s for a second server.
	ipxeNoProxy = []byte{176, 1, 1}

	magicCookie = []byte{99, 130, 83, 99}
)

const (
	replyRoom = 640 // of a usual reply with a frame's headers

	// minReply is BOOTP's length, below which some relays and ROMs drop an
	// answer (RFC 1542 §2.1).
	minReply = 300
)

// encode writes the answer a to r. It begins with room for the headers of a
// frame. If it would be longer than what the client accepts (option 57, at least 576
// bytes with the IP and UDP headers), because the client's own identifiers are
// long, it leaves out what the client can do without. What a relay added does
// not count, since the relay takes it out again.
func (n *network) encode(r *request, a reply) []byte {
	limit := 576
	if size := r.options.get(dhcpv4.OptionMaximumDHCPMessageSize); len(size) == 2 {
		limit = max(limit, int(binary.BigEndian.Uint16(size)))
	}
	limit = min(limit, 1500) - ipv4Len - udpLen
	b := n.write(r, a, false)
	if len(b)-frameHeaders-len(r.options.get(dhcpv4.OptionRelayAgentInformation)) > limit {
		b = n.write(r, a, true)
	}
	return b
}

// write is encode without the limit. The codec's own encoder, which goes through a map
// and sorts it, would cost more than all the rest of a decision.
func (n *network) write(r *request, a reply, lean bool) []byte {
	b := n.writeHeader(r, a)
	if a.network {
		b = option(b, dhcpv4.OptionSubnetMask, net.CIDRMask(n.Subnet.Bits(), 32))
		b = optionAddr(b, dhcpv4.OptionRouter, n.Gateway)
		if !lean {
			b = optionAddr(b, dhcpv4.OptionDomainNameServer, n.DNS...)
			b = optionText(b, dhcpv4.OptionHostName, a.name)
			b = optionText(b, dhcpv4.OptionDomainName, n.Domain)
		}
	}
	b = option(b, dhcpv4.OptionDHCPMessageType, []byte{byte(a.kind)})
	b = optionAddr(b, dhcpv4.OptionServerIdentifier, n.server)
	if a.lease > 0 {
		// RFC 2131 §4.4.5: renewal after half, rebinding after seven eighths.
		b = optionTime(b, dhcpv4.OptionIPAddressLeaseTime, a.lease)
		b = optionTime(b, dhcpv4.OptionRenewTimeValue, a.lease/2)
		b = optionTime(b, dhcpv4.OptionRebindingTimeValue, a.lease/8*7)
	}
	if a.file != "" {
		b = n.writeBoot(b, r, a.file, lean)
	}
	// RFC 6842: echoed in every answer. It is never a key: one machine shows
	// several, or none.
	b = option(b, dhcpv4.OptionClientIdentifier, r.options.get(dhcpv4.OptionClientIdentifier))
	// RFC 3046 §2.2: unchanged, last, in every answer.
	b = option(b, dhcpv4.OptionRelayAgentInformation, r.options.get(dhcpv4.OptionRelayAgentInformation))
	b = append(b, dhcpv4.OptionEnd.Code())
	for len(b) < frameHeaders+minReply {
		b = append(b, 0)
	}
	return b
}

// writeHeader writes the fixed fields. Some firmwares read the boot file from
// them only, some from the options only.
func (n *network) writeHeader(r *request, a reply) []byte {
	b := make([]byte, frameHeaders+headerLen, replyRoom)
	h := b[frameHeaders:]
	h[0], h[1], h[2] = byte(dhcpv4.OpcodeBootReply), byte(iana.HWTypeEthernet), 6
	copy(h[4:8], r.header[4:]) // transaction identifier
	copy(h[flagsOffset:ciaddrOffset], r.header[flagsOffset:])
	if a.toAll {
		h[flagsOffset] |= flagBroadcast
	}
	if a.kind == dhcpv4.MessageTypeAck {
		copy(h[ciaddrOffset:yiaddrOffset], r.header[ciaddrOffset:])
	}
	if a.address.IsValid() {
		copy(h[yiaddrOffset:], a.address.AsSlice())
	}
	copy(h[giaddrOffset:chaddrOffset], r.header[giaddrOffset:])
	copy(h[chaddrOffset:], r.mac[:])
	if a.file != "" {
		copy(h[siaddrOffset:], n.server.AsSlice())
		if !r.client.HTTP {
			copy(h[snameOffset:], n.server.String())
		}
		// A cut URL would be worse than none.
		if len(a.file) < cookieOffset-fileOffset {
			copy(h[fileOffset:], a.file)
		}
	}
	copy(h[cookieOffset:], magicCookie)
	return b
}

// writeBoot writes the options that make the client boot file.
func (n *network) writeBoot(b []byte, r *request, file string, lean bool) []byte {
	if r.client.HTTP {
		b = optionText(b, dhcpv4.OptionClassIdentifier, "HTTPClient")
	} else {
		b = optionText(b, dhcpv4.OptionClassIdentifier, "PXEClient")
		b = option(b, optPXEVendor, pxeNoDiscovery)
		if !lean {
			b = optionText(b, dhcpv4.OptionTFTPServerName, n.server.String())
		}
	}
	switch {
	case r.client.IPXE:
		b = option(b, optIPXE, ipxeNoProxy)
	case !r.client.HTTP:
		// Without a NUL some ROMs take the next byte, 255, for a part of the name.
		file += "\x00"
	}
	b = optionText(b, dhcpv4.OptionBootfileName, file)
	// RFC 4578 §2.3: the answer carries the client's own identifier.
	if id := r.options.get(optUUID); len(id) == 17 {
		b = option(b, optUUID, id)
	}
	return b
}

// option appends one option, in several parts if it is long (RFC 3396), and
// nothing if it is empty.
func option(b []byte, code dhcpv4.OptionCode, value []byte) []byte {
	for len(value) > 0 {
		part := value[:min(len(value), 255)]
		b = append(b, code.Code(), byte(len(part)))
		b = append(b, part...)
		value = value[len(part):]
	}
	return b
}

func optionText(b []byte, code dhcpv4.OptionCode, text string) []byte {
	return option(b, code, []byte(text))
}

func optionTime(b []byte, code dhcpv4.OptionCode, d time.Duration) []byte {
	b = append(b, code.Code(), 4)
	return binary.BigEndian.AppendUint32(b, uint32(d/time.Second))
}

func optionAddr(b []byte, code dhcpv4.OptionCode, addrs ...netip.Addr) []byte {
	if len(addrs) == 0 || !addrs[0].IsValid() {
		return b
	}
	b = append(b, code.Code(), byte(4*len(addrs)))
	for _, a := range addrs {
		b = append(b, a.AsSlice()...)
	}
	return b
}

// bootFile is what r's client boots; empty if it asks for nothing, or there is
// nothing for its architecture.
func (n *network) bootFile(r *request) string { return boot.File(r.client, n.base) }
