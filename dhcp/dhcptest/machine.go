package dhcptest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Machine is one machine as its packets show it. The zero value with a MAC is
// an operating system that asks for nothing special.
type Machine struct {
	MAC       net.HardwareAddr
	UUID      []byte // 16 bytes of option 97
	ClientID  []byte // option 61
	Class     string // option 60
	UserClass string // option 77
	Arch      []byte // option 93
	IPXE      []byte // option 175
	Broadcast bool   // asks for broadcast answers
	Wish      netip.Addr
}

// BIOS returns a machine whose ROM speaks PXE for BIOS.
func BIOS(mac net.HardwareAddr) Machine { return pxe(mac, "PXEClient", 0) }

// UEFI returns a machine with UEFI firmware for x86-64, booting by PXE. EDK2
// asks for broadcast answers.
func UEFI(mac net.HardwareAddr) Machine {
	m := pxe(mac, "PXEClient", 7)
	m.Broadcast = true
	return m
}

// UEFIHTTP returns the same with HTTP boot.
func UEFIHTTP(mac net.HardwareAddr) Machine {
	m := pxe(mac, "HTTPClient", 16)
	m.Broadcast = true
	return m
}

// IPXE returns m with iPXE running on it.
func IPXE(m Machine) Machine {
	m.Class = fmt.Sprintf("PXEClient:Arch:%05d:UNDI:003010", binary.BigEndian.Uint16(m.Arch))
	m.UserClass, m.IPXE = "iPXE", []byte{177, 5, 1, 0x1a, 0xf4, 0x10, 0}
	m.ClientID = append([]byte{1}, m.MAC...)
	m.Broadcast = false
	return m
}

func pxe(mac net.HardwareAddr, class string, arch uint16) Machine {
	return Machine{
		MAC:   mac,
		UUID:  append(append([]byte{0x52, 0x54, 0, 0x12}, mac...), mac...),
		Class: fmt.Sprintf("%s:Arch:%05d:UNDI:003000", class, arch),
		Arch:  binary.BigEndian.AppendUint16(nil, arch),
	}
}

// Message returns a packet of m with what all of its packets carry, and a new
// transaction identifier.
func (m Machine) Message(kind dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	p, err := dhcpv4.New(dhcpv4.WithHwAddr(m.MAC), dhcpv4.WithMessageType(kind))
	if err != nil {
		return nil, err
	}
	if m.Broadcast {
		p.SetBroadcast()
	}
	put := func(code uint8, value []byte) {
		if len(value) > 0 {
			p.Options[code] = value
		}
	}
	put(55, []byte{1, 3, 6, 12, 15, 43, 60, 66, 67, 128, 175})
	put(57, []byte{5, 0xc0})
	put(60, []byte(m.Class))
	put(61, m.ClientID)
	put(77, []byte(m.UserClass))
	put(93, m.Arch)
	put(175, m.IPXE)
	if len(m.UUID) == 16 {
		put(97, append([]byte{0}, m.UUID...))
		put(94, []byte{1, 3, 0})
	}
	return p, nil
}

// Discover returns the packet that asks for an offer.
func (m Machine) Discover() (*dhcpv4.DHCPv4, error) {
	p, err := m.Message(dhcpv4.MessageTypeDiscover)
	if err == nil && m.Wish.IsValid() {
		p.Options[50] = m.Wish.AsSlice()
	}
	return p, err
}

// Request returns the packet that takes offer.
func (m Machine) Request(offer *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	p, err := m.Message(dhcpv4.MessageTypeRequest)
	if err != nil {
		return nil, err
	}
	p.TransactionID = offer.TransactionID
	p.Options[50] = offer.YourIPAddr.To4()
	p.Options[54] = offer.Options[54]
	return p, nil
}
