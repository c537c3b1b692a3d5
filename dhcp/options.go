package dhcp

import (
	"fmt"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// options are the values of a packet's options, by code; nil for those that are
// absent or empty. They point into the packet: the codec's map, with a copy of
// each value, would cost more than all the rest of a decision.
type options [256][]byte

// read adds the options in b and reports whether they end as they should. Parts
// of one option are joined (RFC 3396).
func (o *options) read(b []byte) (ended bool, err error) {
	for len(b) > 0 {
		code := b[0]
		switch code {
		case dhcpv4.OptionEnd.Code():
			return true, nil
		case dhcpv4.OptionPad.Code():
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b)-2 < int(b[1]) {
			return false, fmt.Errorf("option %d is cut short", code)
		}
		value := b[2 : 2+int(b[1])]
		b = b[2+len(value):]
		switch {
		case len(value) == 0:
		case o[code] == nil:
			o[code] = value[:len(value):len(value)] // so that another part does not overwrite the packet
		default:
			o[code] = append(o[code], value...)
		}
	}
	return false, nil
}

func (o *options) get(code dhcpv4.OptionCode) []byte { return o[code.Code()] }

// address reads an option that holds one address.
func (o *options) address(code dhcpv4.OptionCode) (netip.Addr, error) {
	raw := o.get(code)
	if raw == nil {
		return netip.Addr{}, nil
	}
	if len(raw) != 4 {
		return netip.Addr{}, fmt.Errorf("option %d has %d bytes, want 4", code.Code(), len(raw))
	}
	return fromIP(raw), nil
}
