package dhcp

import (
	"bytes"
	"cmp"
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

// Offsets of the fixed fields (RFC 2131 §2).
const (
	flagsOffset  = 10
	ciaddrOffset = 12
	yiaddrOffset = 16
	siaddrOffset = 20
	giaddrOffset = 24
	chaddrOffset = 28
	snameOffset  = 44
	fileOffset   = 108
	cookieOffset = 236
	headerLen    = 240

	flagBroadcast = 0x80 // in the first byte of the flags
	maxHops       = 16

	// maxPacket is the longest datagram that can come in one Ethernet frame.
	maxPacket = 1500 - 28
)

// request is a client's packet, with every value checked that the answer
// depends on. A zero address is one that was not sent.
type request struct {
	header    []byte // the fixed fields
	options   options
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

// parse makes r the request in data. It accepts any bytes; r points into them.
func (r *request) parse(data []byte) error {
	if len(data) < headerLen || !bytes.Equal(data[cookieOffset:headerLen], magicCookie) {
		return errors.New("no DHCP header")
	}
	*r = request{header: data[:headerLen]}
	hops := r.header[3]
	switch {
	case r.header[0] != byte(dhcpv4.OpcodeBootRequest):
		return fmt.Errorf("%w: operation %d", errNotForUs, r.header[0])
	case r.header[1] != byte(iana.HWTypeEthernet) || r.header[2] != 6:
		return fmt.Errorf("%w: hardware type %d", errNotForUs, r.header[1])
	case hops > maxHops:
		return fmt.Errorf("%d hops", hops)
	}
	if err := r.readOptions(data[headerLen:]); err != nil {
		return err
	}
	r.mac = host.MAC(r.header[chaddrOffset:])
	if r.mac.IsZero() || r.mac[0]&1 != 0 {
		return fmt.Errorf("hardware address %s is no machine's", r.mac)
	}
	kind := r.options.get(dhcpv4.OptionDHCPMessageType)
	if kind == nil {
		return fmt.Errorf("%w: BOOTP", errNotForUs)
	}
	if len(kind) != 1 {
		return errors.New("message type is not one byte")
	}
	r.kind = dhcpv4.MessageType(kind[0])
	if err := r.readAddresses(); err != nil {
		return err
	}
	r.client = boot.Classify(r.mac, boot.Options{
		VendorClass: r.options.get(dhcpv4.OptionClassIdentifier),
		UserClass:   r.options.get(dhcpv4.OptionUserClassInformation),
		Arch:        r.options.get(dhcpv4.OptionClientSystemArchitectureType),
		UUID:        r.options.get(optUUID),
		IPXE:        r.options.get(optIPXE),
	})
	return nil
}

// readOptions reads the options, and those that option 52 says are in the file
// and sname fields (RFC 2131 §4.1); file comes first.
func (r *request) readOptions(b []byte) error {
	if ended, err := r.options.read(b); err != nil || !ended {
		return cmp.Or(err, errors.New("the options do not end"))
	}
	overload := r.options.get(optOverload)
	if overload == nil {
		return nil
	}
	if len(overload) != 1 || overload[0] < 1 || overload[0] > 3 {
		return errors.New("option overload is not 1, 2 or 3")
	}
	if overload[0]&1 != 0 {
		if _, err := r.options.read(r.header[fileOffset:cookieOffset]); err != nil {
			return fmt.Errorf("in the file field: %w", err)
		}
	}
	if overload[0]&2 != 0 {
		if _, err := r.options.read(r.header[snameOffset:fileOffset]); err != nil {
			return fmt.Errorf("in the sname field: %w", err)
		}
	}
	return nil
}

// readAddresses reads what the client and its relay say about addresses. Option
// 82 without a relay is a client that pretends to be one (RFC 3046 §2.1).
func (r *request) readAddresses() (err error) {
	r.ciaddr = fromIP(r.header[ciaddrOffset:yiaddrOffset])
	r.giaddr = fromIP(r.header[giaddrOffset:chaddrOffset])
	if r.requested, err = r.options.address(dhcpv4.OptionRequestedIPAddress); err != nil {
		return err
	}
	if r.server, err = r.options.address(dhcpv4.OptionServerIdentifier); err != nil {
		return err
	}
	relay := r.options.get(dhcpv4.OptionRelayAgentInformation)
	if relay == nil {
		return nil
	}
	if !r.giaddr.IsValid() {
		return errors.New("relay information without a relay")
	}
	var sub options
	if _, err := sub.read(relay); err != nil {
		return fmt.Errorf("relay information: %w", err)
	}
	r.subnet, err = sub.address(dhcpv4.GenericOptionCode(5))
	return err
}

// broadcast reports whether the client asks for answers to all.
func (r *request) broadcast() bool { return r.header[flagsOffset]&flagBroadcast != 0 }
