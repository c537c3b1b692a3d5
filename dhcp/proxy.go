package dhcp

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// proxy answers on port 67 beside the server that gives the addresses: only
// machines that ask for a boot file, only with one, never with an address. A
// REQUEST is for the other server.
func (h *handler) proxy(n *network, r *request, now time.Time) decision {
	kind := dhcpv4.MessageTypeOffer
	switch r.kind {
	case dhcpv4.MessageTypeDiscover:
	case dhcpv4.MessageTypeInform:
		kind = dhcpv4.MessageTypeAck
	default:
		return drop(notForUs)
	}
	d := h.bootReply(n, r, kind, now)
	if d.reply != nil {
		d.saw = r.kind == dhcpv4.MessageTypeDiscover
	}
	return d
}

// bootServer answers on port 4011, where some firmwares ask for the boot file once
// they have an address: full mode or proxy, and although 43.6 says not to.
func (h *handler) bootServer(n *network, r *request, p datagram, now time.Time) decision {
	switch r.kind {
	case dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform:
	default:
		return drop(notForUs)
	}
	src := p.src.Addr().Unmap()
	if !n.Subnet.Contains(src) && !src.IsUnspecified() && !r.giaddr.IsValid() {
		return drop(strayed) // we would answer to somebody who did not ask
	}
	d := h.bootReply(n, r, dhcpv4.MessageTypeAck, now)
	if d.reply == nil {
		return d
	}
	// To the source port: EDK2 asks from 4011, iPXE from 68.
	d.to = destination{
		frame: !n.Relayed,
		mac:   r.mac,
		to:    netip.AddrPortFrom(src, p.src.Port()),
		from:  netip.AddrPortFrom(n.server, pxePort),
	}
	if src.IsUnspecified() {
		d.to = n.toAll(pxePort, p.src.Port())
	}
	return d
}

func (h *handler) bootReply(n *network, r *request, kind dhcpv4.MessageType, now time.Time) decision {
	if !r.client.PXE {
		return drop(notForUs)
	}
	d := decision{what: proxied, client: r.client}
	file := n.bootFile(r)
	if file == "" {
		d.what, d.notice = notForUs, h.unknownArch(r, now)
		return d
	}
	d.to = n.destination(r, netip.Addr{})
	d.reply = n.encode(r, reply{kind: kind, file: file})
	return d
}
