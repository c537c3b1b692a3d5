package dhcp

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"provision.internal/boot"
	"provision.internal/host"
)

// Option codes of the firmware world that the codec has no names for.
var (
	optPXEVendor = dhcpv4.OptionVendorSpecificInformation // 43
	optOverload  = dhcpv4.OptionOptionOverload            // 52
	optUUID      = dhcpv4.OptionClientMachineIdentifier   // 97
	optIPXE      = dhcpv4.GenericOptionCode(175)          // encapsulated iPXE options
)

// Offsets of the fixed fields (RFC 2131 §2) that the codec does not hand out raw.
const (
	headerLen   = 240
	snameOffset = 44
	fileOffset  = 108
	maxHops     = 16

	// maxPacket is the longest datagram that can come in one Ethernet frame.
	maxPacket = 1500 - 28
)

// request is a client's packet, with every value checked that the answer
// depends on. A zero address is one that was not sent.
type request struct {
	*dhcpv4.DHCPv4
	mac       host.MAC
	client    boot.Client
	kind      dhcpv4.MessageType
	ciaddr    netip.Addr
	giaddr    netip.Addr
	requested netip.Addr // option 50
	server    netip.Addr // option 54
	subnet    netip.Addr // option 82, sub-option 5: the link that the client is on
}

// errNotForUs is wrapped for well-formed packets that no DHCPv4 server over
// Ethernet answers.
var errNotForUs = errors.New("not for us")

// parse reads a datagram. It accepts any bytes.
func parse(data []byte) (*request, error) {
	m, err := dhcpv4.FromBytes(data)
	if err != nil {
		return nil, err
	}
	if m.OpCode != dhcpv4.OpcodeBootRequest {
		return nil, fmt.Errorf("%w: operation %d", errNotForUs, m.OpCode)
	}
	if m.HWType != iana.HWTypeEthernet || len(m.ClientHWAddr) != 6 {
		return nil, fmt.Errorf("%w: hardware type %d", errNotForUs, m.HWType)
	}
	if m.HopCount > maxHops {
		return nil, fmt.Errorf("%d hops", m.HopCount)
	}
	if err := unfold(m, data); err != nil {
		return nil, err
	}
	r := &request{
		DHCPv4: m,
		mac:    host.MAC(m.ClientHWAddr),
		ciaddr: fromIP(m.ClientIPAddr),
		giaddr: fromIP(m.GatewayIPAddr),
	}
	if r.mac.IsZero() || r.mac[0]&1 != 0 {
		return nil, fmt.Errorf("hardware address %s is no machine's", r.mac)
	}
	kind := m.Options.Get(dhcpv4.OptionDHCPMessageType)
	if kind == nil {
		return nil, fmt.Errorf("%w: BOOTP", errNotForUs)
	}
	if len(kind) != 1 {
		return nil, errors.New("message type is not one byte")
	}
	r.kind = dhcpv4.MessageType(kind[0])
	if r.requested, err = address(m.Options, dhcpv4.OptionRequestedIPAddress); err != nil {
		return nil, err
	}
	if r.server, err = address(m.Options, dhcpv4.OptionServerIdentifier); err != nil {
		return nil, err
	}
	if err := r.readRelay(); err != nil {
		return nil, err
	}
	r.client = boot.Classify(r.mac, boot.Options{
		VendorClass: m.Options.Get(dhcpv4.OptionClassIdentifier),
		UserClass:   m.Options.Get(dhcpv4.OptionUserClassInformation),
		Arch:        m.Options.Get(dhcpv4.OptionClientSystemArchitectureType),
		UUID:        m.Options.Get(optUUID),
		IPXE:        m.Options.Get(optIPXE),
	})
	return r, nil
}

// unfold adds the options that option 52 says are in the sname and file fields
// (RFC 2131 §4.1); file comes first. The codec leaves them alone.
func unfold(m *dhcpv4.DHCPv4, data []byte) error {
	overload := m.Options.Get(optOverload)
	if overload == nil {
		return nil
	}
	if len(overload) != 1 || overload[0] < 1 || overload[0] > 3 {
		return errors.New("option overload is not 1, 2 or 3")
	}
	if overload[0]&1 != 0 {
		if err := m.Options.FromBytes(data[fileOffset : headerLen-4]); err != nil {
			return fmt.Errorf("options in the file field: %w", err)
		}
	}
	if overload[0]&2 != 0 {
		if err := m.Options.FromBytes(data[snameOffset:fileOffset]); err != nil {
			return fmt.Errorf("options in the sname field: %w", err)
		}
	}
	return nil
}

// readRelay reads what a relay added. Option 82 without a relay is a client
// that pretends to be one (RFC 3046 §2.1).
func (r *request) readRelay() error {
	raw := r.Options.Get(dhcpv4.OptionRelayAgentInformation)
	if raw == nil {
		return nil
	}
	if !r.giaddr.IsValid() {
		return errors.New("relay information without a relay")
	}
	sub := dhcpv4.Options{}
	if err := sub.FromBytes(raw); err != nil {
		return fmt.Errorf("relay information: %w", err)
	}
	var err error
	r.subnet, err = address(sub, dhcpv4.GenericOptionCode(5))
	return err
}

// address reads an option that holds one address.
func address(o dhcpv4.Options, code dhcpv4.OptionCode) (netip.Addr, error) {
	raw := o.Get(code)
	if raw == nil {
		return netip.Addr{}, nil
	}
	if len(raw) != 4 {
		return netip.Addr{}, fmt.Errorf("option %d has %d bytes, want 4", code.Code(), len(raw))
	}
	return fromIP(raw), nil
}
