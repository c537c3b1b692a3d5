package dhcp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"provision.internal/boot"
	"provision.internal/host"
)

// The ports of RFC 2131 and of the PXE specification.
const (
	serverPort = 67
	clientPort = 68
	pxePort    = 4011
)

// handler decides what to answer. It does no input or output beyond asking
// Hosts for a name, and is told the time. It is not safe for concurrent use.
type handler struct {
	networks []*network
	hosts    Hosts
	notices  notices
	incoming request // of the packet that is being decided about
}

// network is a configured network with what was found out about it.
type network struct {
	Network
	server netip.Addr // the appliance's address there, its server identifier
	base   string     // URL of the plain HTTP server
	table  *table
}

// datagram is one packet as it came in.
type datagram struct {
	data []byte
	link string         // name of the interface
	src  netip.AddrPort // as the IP and UDP headers say
	port uint16         // ours: 67 or 4011
}

// decision is what to do about a packet.
type decision struct {
	what   count
	reply  []byte // nil: say nothing; begins with room for a frame's headers
	to     destination
	after  *promise // must be stored before the reply is sent
	client boot.Client
	saw    bool // tell Hosts about client and the reply's address
	addr   netip.Addr
	notice string   // for the host's events
	park   *network // decide again when this network has verified an address
}

// destination says how a reply travels: in a frame of ours to a client that
// does not answer ARP yet, else by UDP.
type destination struct {
	frame bool
	mac   host.MAC
	to    netip.AddrPort
	from  netip.AddrPort // our address and port
}

func drop(what count) decision { return decision{what: what} }

// handle decides about p. It accepts any bytes.
func (h *handler) handle(p datagram, now time.Time) decision {
	if len(p.data) > maxPacket {
		return drop(oversized)
	}
	r := &h.incoming
	err := r.parse(p.data)
	switch {
	case errors.Is(err, errNotForUs):
		return drop(notForUs)
	case err != nil:
		return drop(malformed)
	}
	n, what := h.network(p, r)
	if n == nil {
		return drop(what)
	}
	switch {
	case p.port == pxePort:
		return h.bootServer(n, r, p, now)
	case n.DHCP == Proxy:
		return h.proxy(n, r, now)
	}
	n.table.expire(now)
	switch r.kind {
	case dhcpv4.MessageTypeDiscover:
		return h.discover(n, r, now)
	case dhcpv4.MessageTypeRequest:
		return h.request(n, r, now)
	case dhcpv4.MessageTypeDecline:
		return h.decline(n, r, now)
	case dhcpv4.MessageTypeRelease:
		return h.release(n, r, now)
	case dhcpv4.MessageTypeInform:
		return h.inform(n, r, now)
	}
	return drop(unhandled)
}

// network finds the network that r's client is on: by its relay, else by the
// address that it uses (a client behind a relay renews without the relay),
// else by the interface. A relay or a client on the wrong interface is spoofed.
func (h *handler) network(p datagram, r *request) (*network, count) {
	where := r.giaddr
	if r.subnet.IsValid() {
		where = r.subnet
	}
	if !where.IsValid() {
		where = r.ciaddr
	}
	var attached *network
	for _, n := range h.networks {
		if n.Interface != p.link {
			continue
		}
		if n.Relayed && where.IsValid() && n.Subnet.Contains(where) {
			return n, 0
		}
		if !n.Relayed {
			attached = n
		}
	}
	switch {
	case r.giaddr.IsValid():
		return nil, strayed
	case attached == nil:
		return nil, noNetwork
	}
	return attached, 0
}

func (h *handler) discover(n *network, r *request, now time.Time) decision {
	b, v := n.table.offer(r.mac, bits(r.requested), now)
	switch v {
	case wait:
		return decision{what: waiting, park: n, client: r.client}
	case none:
		d := drop(exhausted)
		if h.notices.allow(host.MAC{}, now) {
			d.notice = fmt.Sprintf("no address is left in the pool of network %s: widen network.pool, shorten network.lease, or release some", n.Name)
		}
		return d
	}
	return h.reply(offers, n, r, reply{kind: dhcpv4.MessageTypeOffer, address: addrOf(b.addr), lease: n.table.lease}, now)
}

// request is RFC 2131 §4.3.2. Which of the four kinds it is shows in what the
// client filled in.
func (h *handler) request(n *network, r *request, now time.Time) decision {
	switch {
	case r.server.IsValid() && r.server != n.server: // selecting, but somebody else
		n.table.withdraw(r.mac)
		return drop(withdrawals)
	case r.server.IsValid(): // selecting
		return h.grant(n, r, r.requested, true, now)
	case r.requested.IsValid(): // init-reboot
		return h.grant(n, r, r.requested, false, now)
	case r.ciaddr.IsValid(): // renewing, rebinding
		return h.grant(n, r, r.ciaddr, false, now)
	}
	return drop(malformed)
}

func (h *handler) grant(n *network, r *request, addr netip.Addr, named bool, now time.Time) decision {
	if named && !addr.IsValid() {
		addr = r.ciaddr // not by the book, and seen from a few ROMs
	}
	b, ok := n.table.bind(r.mac, bits(addr), named, now)
	if !ok {
		// A client that named us, or that we know with another address, is
		// told. About others we may be wrong, unless we are the authority.
		if !named && !n.Authoritative && n.table.known(r.mac) == nil {
			return drop(silent)
		}
		return h.refuse(n, r)
	}
	after, ok := n.table.secure(b)
	if !ok {
		return drop(behind)
	}
	d := h.reply(acks, n, r, reply{kind: dhcpv4.MessageTypeAck, address: addr, lease: n.table.lease}, now)
	d.saw, d.addr, d.after = true, addr, after
	return d
}

// refuse sends a NAK: by broadcast, because the client must not trust the
// address that it has; a relay is told to broadcast too (RFC 2131 §4.3.2).
func (h *handler) refuse(n *network, r *request) decision {
	d := decision{what: naks, client: r.client}
	if r.giaddr.IsValid() || n.Relayed { // the latter renews, so not by its relay
		d.to = n.destination(r, netip.Addr{})
	} else {
		d.to = n.toAll(serverPort, clientPort)
	}
	d.reply = n.encode(r, reply{kind: dhcpv4.MessageTypeNak, toAll: r.giaddr.IsValid()})
	return d
}

func (h *handler) decline(n *network, r *request, now time.Time) decision {
	if r.server.IsValid() && r.server != n.server {
		return drop(notForUs)
	}
	b, ok := n.table.decline(r.mac, bits(r.requested), now)
	if !ok {
		return drop(silent)
	}
	d := decision{what: declines, client: r.client}
	if h.notices.allow(r.mac, now) {
		d.notice = fmt.Sprintf("declined %s, which another machine uses: find it by its ARP answer; the address rests until %s",
			r.requested, b.until.UTC().Format(time.RFC3339))
	}
	return d
}

func (h *handler) release(n *network, r *request, now time.Time) decision {
	if r.server.IsValid() && r.server != n.server {
		return drop(notForUs)
	}
	if !n.table.release(r.mac, bits(r.ciaddr)) {
		return drop(silent)
	}
	return decision{what: releases, client: r.client}
}

// inform answers a client that has an address from elsewhere (RFC 2131 §4.3.5).
func (h *handler) inform(n *network, r *request, now time.Time) decision {
	if !n.Subnet.Contains(r.ciaddr) {
		return drop(strayed)
	}
	return h.reply(informs, n, r, reply{kind: dhcpv4.MessageTypeAck}, now)
}

// reply is the answer a to r, with what the network and the client's firmware
// need.
func (h *handler) reply(what count, n *network, r *request, a reply, now time.Time) decision {
	d := decision{what: what, client: r.client}
	a.network = true
	if known, err := h.hosts.Host(r.mac); err == nil {
		a.name = known.Name
	}
	a.file = n.bootFile(r)
	if a.file == "" && r.client.PXE {
		d.notice = h.unknownArch(r, now)
	}
	d.to = n.destination(r, a.address)
	d.reply = n.encode(r, a)
	return d
}

// unknownArch is the notice about a machine that nothing can be booted on.
func (h *handler) unknownArch(r *request, now time.Time) string {
	if !h.notices.allow(r.mac, now) {
		return ""
	}
	return fmt.Sprintf("asks for a boot file for architecture %d (%q), and there is none: it gets an address only",
		r.client.Arch, r.options.get(dhcpv4.OptionClassIdentifier))
}

// destination is RFC 2131 §4.1: to the relay; to the address that the client
// has; by broadcast if it asks; else to the address that it is being given, in
// a frame, since it does not answer ARP for it yet. Frames to attached clients
// with an address too: the kernel's neighbour table is too small for a storm.
func (n *network) destination(r *request, yours netip.Addr) destination {
	d := destination{from: netip.AddrPortFrom(n.server, serverPort)}
	switch {
	case r.giaddr.IsValid():
		d.to = netip.AddrPortFrom(r.giaddr, serverPort)
	case n.Subnet.Contains(r.ciaddr): // another one is spoofed: we would answer to a stranger
		d.frame, d.mac, d.to = !n.Relayed, r.mac, netip.AddrPortFrom(r.ciaddr, clientPort)
	case r.broadcast() || !yours.IsValid():
		return n.toAll(serverPort, clientPort)
	default:
		d.frame, d.mac, d.to = true, r.mac, netip.AddrPortFrom(yours, clientPort)
	}
	return d
}

// toAll is everybody on an attached network.
func (n *network) toAll(from, to uint16) destination {
	return destination{
		frame: true,
		mac:   broadcastMAC,
		to:    netip.AddrPortFrom(broadcast, to),
		from:  netip.AddrPortFrom(n.server, from),
	}
}
