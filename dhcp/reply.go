package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"provision.internal/boot"
)

// reply starts the answer of n to r: what every answer carries.
func (n *network) reply(r *request, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	m := &dhcpv4.DHCPv4{
		OpCode:        dhcpv4.OpcodeBootReply,
		HWType:        r.HWType,
		TransactionID: r.TransactionID,
		Flags:         r.Flags,
		ClientIPAddr:  net.IPv4zero,
		YourIPAddr:    net.IPv4zero,
		ServerIPAddr:  net.IPv4zero,
		GatewayIPAddr: r.GatewayIPAddr,
		ClientHWAddr:  r.ClientHWAddr,
		Options:       make(dhcpv4.Options, 20),
	}
	m.Options[dhcpv4.OptionDHCPMessageType.Code()] = []byte{byte(kind)}
	m.Options[dhcpv4.OptionServerIdentifier.Code()] = n.server.AsSlice()
	// RFC 6842: echoed in every answer. It is never a key: one machine shows
	// several, or none.
	if id := r.Options.Get(dhcpv4.OptionClientIdentifier); id != nil {
		m.Options[dhcpv4.OptionClientIdentifier.Code()] = id
	}
	// RFC 3046 §2.2: unchanged, in every answer.
	if relay := r.Options.Get(dhcpv4.OptionRelayAgentInformation); relay != nil {
		m.Options[dhcpv4.OptionRelayAgentInformation.Code()] = relay
	}
	return m
}

// addLease puts the address and its times into m: renewal after half and
// rebinding after seven eighths of the lease (RFC 2131 §4.4.5).
func addLease(m *dhcpv4.DHCPv4, addr netip.Addr, lease time.Duration) {
	m.YourIPAddr = addr.AsSlice()
	seconds := func(d time.Duration) []byte {
		return binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))
	}
	m.Options[dhcpv4.OptionIPAddressLeaseTime.Code()] = seconds(lease)
	m.Options[dhcpv4.OptionRenewTimeValue.Code()] = seconds(lease / 2)
	m.Options[dhcpv4.OptionRebindingTimeValue.Code()] = seconds(lease / 8 * 7)
}

// addNetwork adds what an operating system needs.
func (n *network) addNetwork(m *dhcpv4.DHCPv4, hostname string) {
	m.Options[dhcpv4.OptionSubnetMask.Code()] = net.CIDRMask(n.Subnet.Bits(), 32)
	if n.Gateway.IsValid() {
		m.Options[dhcpv4.OptionRouter.Code()] = n.Gateway.AsSlice()
	}
	if len(n.DNS) > 0 {
		var all []byte
		for _, a := range n.DNS {
			all = append(all, a.AsSlice()...)
		}
		m.Options[dhcpv4.OptionDomainNameServer.Code()] = all
	}
	if n.Domain != "" {
		m.Options[dhcpv4.OptionDomainName.Code()] = []byte(n.Domain)
	}
	if hostname != "" {
		m.Options[dhcpv4.OptionHostName.Code()] = []byte(hostname)
	}
}

var (
	// Sub-option 6 (discovery control) with bit 3: boot the file named here,
	// without the discovery on port 4011 for which EDK2 would otherwise leave.
	pxeNoDiscovery = []byte{6, 1, 8, 255}

	// Option 176 (no ProxyDHCP) ends iPXE's wait of 3 s for a second server.
	ipxeNoProxy = []byte{176, 1, 1}
)

// addBoot adds the boot file for r's client and reports whether there is one.
func (n *network) addBoot(m *dhcpv4.DHCPv4, r *request) bool {
	file := boot.File(r.client, n.base)
	if file == "" {
		return false
	}
	m.ServerIPAddr = n.server.AsSlice()
	// Some firmwares read the fixed fields only, some the options only. The
	// codec would cut a long URL, which is worse than none.
	if len(file) < 128 {
		m.BootFileName = file
	}
	name := []byte(file)
	if r.client.HTTP {
		m.Options[dhcpv4.OptionClassIdentifier.Code()] = []byte("HTTPClient")
	} else {
		m.ServerHostName = n.server.String()
		m.Options[dhcpv4.OptionClassIdentifier.Code()] = []byte("PXEClient")
		m.Options[optPXEVendor.Code()] = pxeNoDiscovery
		m.Options[dhcpv4.OptionTFTPServerName.Code()] = []byte(n.server.String())
	}
	if r.client.IPXE {
		m.Options[optIPXE.Code()] = ipxeNoProxy
	} else if !r.client.HTTP {
		// Without a NUL some ROMs take the next byte, 255, for a part of the name.
		name = append(name, 0)
	}
	m.Options[dhcpv4.OptionBootfileName.Code()] = name
	// RFC 4578 §2.3: the answer carries the client's own identifier.
	if id := r.Options.Get(optUUID); len(id) == 17 {
		m.Options[optUUID.Code()] = id
	}
	return true
}

// What a reply can do without when a client with a small buffer sent long
// identifiers that must be echoed, least needed first.
var expendable = []dhcpv4.OptionCode{
	dhcpv4.OptionHostName, dhcpv4.OptionDomainName, dhcpv4.OptionTFTPServerName, dhcpv4.OptionDomainNameServer,
}

// encode turns m into bytes that fit into what the client of r accepts (option
// 57, at least 576 bytes with the IP and UDP headers). What the relay added
// does not count: it takes it out again.
func encode(m *dhcpv4.DHCPv4, r *request) []byte {
	limit := 576
	if size := r.Options.Get(dhcpv4.OptionMaximumDHCPMessageSize); len(size) == 2 {
		limit = max(limit, int(binary.BigEndian.Uint16(size)))
	}
	limit = min(limit, 1500) - 28 + len(r.Options.Get(dhcpv4.OptionRelayAgentInformation)) + 2
	data := m.ToBytes()
	for _, code := range expendable {
		if len(data) <= limit {
			break
		}
		m.Options.Del(code)
		data = m.ToBytes()
	}
	return slices.Clip(data)
}
