package routertest

import (
	"net/netip"
	"strconv"
	"time"
)

const sessionMenu = "/routing/bgp/session"

// peer is a BGP connection that has been established once; before that there
// is no row of /routing/bgp/session.
type peer struct {
	up time.Time // zero: it is down
}

// SetBGP says whether the other side of a BGP connection, named by the
// connection's name or remote address, answers. None does before.
func (r *Router) SetBGP(name string, up bool) {
	r.locked(func() {
		r.dynamics.answers[name] = up
		r.followPeers()
	})
}

// followPeers establishes the BGP sessions that can be, and ends those that
// can't. A session is there without delay; that its parameters suit the other
// side is taken for granted.
func (r *Router) followPeers() {
	var rows []wanted
	here := map[string]bool{}
	for _, connection := range r.tables["/routing/bgp/connection"].rows {
		name := connection.fields["name"]
		local, up := r.peerAnswers(connection)
		p := r.dynamics.peers[name]
		switch {
		case !connection.on():
			continue
		case p == nil && !up:
			continue
		case p == nil:
			p = new(peer)
			r.dynamics.peers[name] = p
			r.touch(sessionMenu)
		}
		if up == p.up.IsZero() {
			p.up = time.Time{}
			if up {
				p.up = r.clock.Now()
			}
			r.touch(sessionMenu)
		}
		here[name] = true
		rows = append(rows, wanted{"bgp/" + name, r.sessionFields(connection, local, p)})
	}
	for name := range r.dynamics.peers {
		if !here[name] {
			delete(r.dynamics.peers, name)
			r.touch(sessionMenu)
		}
	}
	r.follow(sessionMenu, rows)
}

// peerAnswers tells whether a connection is established, and from which of the
// router's addresses: the configuration has what BGP needs, the other side is
// in the subnet of an address that works, and it answers.
func (r *Router) peerAnswers(connection *row) (local string, up bool) {
	if r.dynamics.down {
		return "", false
	}
	remote, err := netip.ParseAddr(hostOf(connection.fields["remote.address"]))
	if err != nil || connection.fields["remote.as"] == "" || r.localAS(connection) == "" {
		return "", false
	}
	if !r.dynamics.answers[connection.fields["name"]] && !r.dynamics.answers[remote.String()] {
		return "", false
	}
	for _, address := range r.tables["/ip/address"].rows {
		prefix, err := netip.ParsePrefix(address.fields["address"])
		i, ok := r.interfaceByID(address.fields["interface"])
		if err == nil && ok && address.on() && r.linked(i) && prefix.Contains(remote) && prefix.Addr() != remote {
			return prefix.Addr().String(), true
		}
	}
	return "", false
}

// hostOf cuts the length of 192.0.2.7/32 off.
func hostOf(text string) string {
	if prefix, err := netip.ParsePrefix(text); err == nil && prefix.IsSingleIP() {
		return prefix.Addr().String()
	}
	return text
}

// localAS is the router's own number: of the instance from 7.20 on, before of
// the connection.
func (r *Router) localAS(connection *row) string {
	instances := r.tables["/routing/bgp/instance"]
	if instances == nil {
		return connection.fields["as"]
	}
	id, _ := parseID(connection.fields["instance"])
	instance, _ := instances.find(id)
	if instance == nil || !instance.on() {
		return ""
	}
	return instance.fields["as"]
}

func (r *Router) sessionFields(connection *row, local string, p *peer) map[string]string {
	fields := map[string]string{
		"name": connection.fields["name"] + "-1", "remote.address": hostOf(connection.fields["remote.address"]),
		"remote.as": connection.fields["remote.as"], "local.role": connection.fields["local.role"],
		"local.as": r.localAS(connection), "ebgp": strconv.FormatBool(connection.fields["remote.as"] != r.localAS(connection)),
	}
	for _, name := range []string{"hold-time", "keepalive-time"} {
		if text, ok := connection.fields[name]; ok {
			fields[name] = text
		}
	}
	if p.up.IsZero() {
		return fields
	}
	fields["established"], fields["local.address"] = "true", local
	fields["last-started"], fields["prefix-count"] = p.up.Format(stamp), "1"
	return fields
}

// showPeer adds how long a session has been up.
func (r *Router) showPeer(one *row, rec record) {
	if up, err := time.Parse(stamp, one.fields["last-started"]); err == nil {
		rec["uptime"] = formatDuration(r.clock.Now().Sub(up).Truncate(time.Second))
	}
}
