package router

import (
	"cmp"
	"strconv"
	"strings"

	"provision.internal/router/ros"
)

// resolver is the router's DNS with the names of records and hosts.
func (c Config) resolver(in Inputs) []Row {
	var rows []Row
	settings := ros.Row{}
	if len(c.DNS.Servers) > 0 {
		settings["servers"] = join(c.DNS.Servers)
	}
	if c.DNS.Remote != nil {
		settings["allow-remote-requests"] = yesNo(*c.DNS.Remote)
	}
	if len(settings) > 0 {
		rows = append(rows, Row{Menu: "/ip/dns", Fields: settings})
	}
	for _, r := range c.DNS.Records {
		rows = append(rows, r.row("record/"))
	}
	if !c.DNS.Hosts {
		return rows
	}
	for _, h := range in.Hosts {
		if !h.Address.IsValid() {
			continue
		}
		full := c.DNS.fullName(h.Name)
		rows = append(rows, Record{Name: full, Address: h.Address}.row("host/"))
		if full != h.Name {
			rows = append(rows, Record{Name: h.Name, CNAME: full}.row("host/"))
		}
	}
	return rows
}

// fullName is a host's name in the domain.
func (d DNS) fullName(host string) string {
	if d.Domain == "" {
		return host
	}
	return host + "." + d.Domain
}

func (r Record) row(prefix string) Row {
	row := Row{Menu: "/ip/dns/static", Key: prefix + r.Name, Fields: ros.Row{"name": r.Name, "type": "CNAME", "cname": r.CNAME}}
	if r.CNAME == "" {
		row.Fields = ros.Row{"name": r.Name, "type": "A", "address": r.Address.String()}
	}
	return row
}

// instance is the name of our BGP instance.
const instance = "provision"

// bgp is written by one of two schemas: from 7.20 on an instance holds the AS
// and the router's id, before that each connection does.
func (c Config) bgp(v Version) []Row {
	if c.BGP == nil {
		return nil
	}
	b := c.BGP
	ours := ros.Row{"as": strconv.FormatUint(uint64(b.AS), 10), "router-id": addr(b.RouterID)}
	var rows []Row
	if hasInstances(v) {
		rows = append(rows, Row{Menu: "/routing/bgp/instance", Key: "bgp", Fields: with(ours, "name", instance)})
		ours = ros.Row{"as": ours["as"], "instance": instance}
	}
	for _, p := range b.Peers {
		as, role := cmp.Or(p.AS, b.AS), "ebgp"
		if as == b.AS {
			role = "ibgp"
		}
		fields := with(ours, "name", p.Name)
		fields["remote.address"], fields["remote.as"] = p.Address.String(), strconv.FormatUint(uint64(as), 10)
		fields["local.role"] = role
		fields["output.redistribute"], fields["output.default-originate"] = strings.Join(p.Redistribute, ","), p.Originate
		fields["hold-time"], fields["keepalive-time"] = "", ""
		if p.Hold > 0 {
			fields["hold-time"] = formatDuration(p.Hold)
		}
		if p.Keepalive > 0 {
			fields["keepalive-time"] = formatDuration(p.Keepalive)
		}
		rows = append(rows, Row{Menu: "/routing/bgp/connection", Key: "bgp/" + p.Name, Fields: fields})
	}
	return rows
}

// with is fields and one more.
func with(fields ros.Row, name, value string) ros.Row {
	all := ros.Row{name: value}
	for k, v := range fields {
		all[k] = v
	}
	return all
}

// chain is the rules of one chain with the table that it is in.
type chain struct {
	table string // "filter" or "nat"
	name  string
	rules []Rule
}

func (f Firewall) chains() []chain {
	return []chain{
		{"filter", "input", f.Input}, {"filter", "forward", f.Forward}, {"filter", "output", f.Output},
		{"nat", "srcnat", f.SrcNAT}, {"nat", "dstnat", f.DstNAT},
	}
}

func (c Config) firewall() []Row {
	var rows []Row
	for _, ch := range c.Firewall.chains() {
		for _, r := range ch.rules {
			rows = append(rows, Row{
				Menu: "/ip/firewall/" + ch.table, Key: ch.table + "/" + ch.name + "/" + r.Name,
				Fields: r.fields(ch),
			})
		}
	}
	return rows
}

// fields declares everything that a rule can say, so that what is taken out of
// the configuration goes from the router too.
func (r Rule) fields(ch chain) ros.Row {
	f := ros.Row{
		"chain": ch.name, "action": r.Action, "connection-state": strings.Join(r.ConnectionState, ","), "protocol": r.Protocol,
		"src-address": r.SrcAddress, "dst-address": r.DstAddress, "src-port": r.SrcPort, "dst-port": r.DstPort,
		"in-interface": r.InInterface, "out-interface": r.OutInterface, "log": yesNo(r.Log), "log-prefix": r.LogPrefix,
	}
	if ch.table == "nat" {
		f["to-addresses"], f["to-ports"] = r.ToAddresses, r.ToPorts
	} else {
		f["reject-with"] = r.RejectWith
	}
	return f
}
