package router

import (
	"path"
	"slices"
	"strings"

	"provision.internal/router/ros"
)

// mark is how rows of ours are known again.
type mark int

const (
	byComment mark = iota // comment=provision:KEY
	byName                // name=provision-KEY, where a menu has no comments
	builtIn               // the router's own rows, by name
	single                // a menu of one row
)

// The marks. What follows is the row's key.
const (
	commentMark = "provision:"
	nameMark    = "provision-"
)

// menu is how one menu of the router is read, compared and changed.
type menu struct {
	path  string
	mark  mark
	props []string // that are read, beside .id and what the mark is in

	// unique are properties of which no two rows should have the same, and mostly
	// the router sees to it. Rows of ours are known again by them too, in this
	// order, before the mark.
	unique [][]string
	label  []string // properties that name a row for people, the first that is set

	unset []string // properties whose absence is another thing than an empty value

	ordered  bool // rows are taken in order, within each chain: ours are kept in theirs
	placed   bool // rows have an order, which an inverse restores
	dynamic  bool // the router makes rows of its own here
	disables bool // a row can be disabled, which counts as a difference

	from func(Version) bool // whether a version has it; nil for all
}

// menus are in the order in which rows are safe to add; they are removed in
// reverse. VLAN filtering comes after all of them.
var menus = []menu{
	{path: "/system/identity", mark: single, props: words("name")},
	{path: "/interface/bridge", props: words("name frame-types ingress-filtering vlan-filtering"),
		unique: [][]string{{"name"}}, label: words("name"), disables: true},
	{path: "/interface/bridge/port", props: words("bridge interface pvid frame-types ingress-filtering edge"),
		unique: [][]string{{"interface"}}, label: words("interface"), placed: true, dynamic: true, disables: true},
	{path: "/interface/bridge/vlan", props: words("bridge vlan-ids tagged untagged"),
		unique: [][]string{{"bridge", "vlan-ids"}}, label: words("vlan-ids"), dynamic: true, disables: true},
	{path: "/interface/vlan", props: words("name interface vlan-id"),
		unique: [][]string{{"name"}, {"interface", "vlan-id"}}, label: words("name"), disables: true},
	{path: "/ip/address", props: words("address interface"),
		unique: [][]string{{"address", "interface"}, {"address"}}, label: words("address"), dynamic: true, disables: true},
	{path: "/ip/dhcp-client", props: words("interface"),
		unique: [][]string{{"interface"}}, label: words("interface"), dynamic: true, disables: true},
	{path: "/ip/route", props: words("dst-address gateway"),
		unique: [][]string{{"dst-address", "gateway"}}, label: words("dst-address"), dynamic: true, disables: true},
	{path: "/ip/pool", props: words("name ranges"), unique: [][]string{{"name"}}, label: words("name")},
	{path: "/ip/dhcp-server/option", props: words("name code value force"), unique: [][]string{{"name"}}, label: words("name")},
	// Option sets have comments from 7.2x on only.
	{path: "/ip/dhcp-server/option/sets", mark: byName, props: words("options"), unique: [][]string{{"name"}}, label: words("name")},
	{path: "/ip/dhcp-server", props: words("name interface address-pool lease-time authoritative conflict-detection"),
		unique: [][]string{{"name"}, {"interface"}}, label: words("name"), dynamic: true, disables: true},
	{path: "/ip/dhcp-server/network", props: words("address gateway dns-server domain next-server boot-file-name"),
		unique: [][]string{{"address"}}, label: words("address"), unset: words("next-server domain boot-file-name"), dynamic: true},
	{path: "/ip/dhcp-server/matcher", props: words("name server code value matching-type address-pool option-set"),
		unique: [][]string{{"name"}}, label: words("name"), disables: true},
	{path: "/ip/dhcp-server/lease", props: words("address mac-address server"),
		unique: [][]string{{"mac-address", "server"}, {"address", "server"}}, label: words("address mac-address"), dynamic: true, disables: true},
	// Relays have no comments in any version.
	{path: "/ip/dhcp-relay", mark: byName, props: words("interface dhcp-server local-address"),
		unique: [][]string{{"name"}}, label: words("name"), disables: true},
	{path: "/ip/dns", mark: single, props: words("servers allow-remote-requests")},
	{path: "/ip/dns/static", props: words("name type address cname"),
		unique: [][]string{{"name", "address"}, {"name", "cname"}}, unset: words("address cname"), label: words("name regexp"), placed: true, dynamic: true, disables: true},
	{path: "/system/ntp/client", mark: single, props: words("enabled servers")},
	{path: "/routing/bgp/instance", props: words("name as router-id"),
		unique: [][]string{{"name"}}, label: words("name"), unset: words("router-id"), dynamic: true, disables: true, from: hasInstances},
	{path: "/routing/bgp/connection", props: words("name instance as router-id remote.address remote.as local.role hold-time keepalive-time output.redistribute output.default-originate"),
		unique: [][]string{{"name"}}, label: words("name"), unset: words("router-id hold-time keepalive-time output.redistribute output.default-originate"),
		dynamic: true, disables: true},
	{path: "/ip/firewall/filter", props: ruleProperties("reject-with"), label: words("comment"), unset: ruleMatchers, ordered: true, placed: true, dynamic: true, disables: true},
	{path: "/ip/firewall/nat", props: ruleProperties("to-addresses to-ports"), label: words("comment"), unset: ruleMatchers, ordered: true, placed: true, dynamic: true, disables: true},
	// From 7.19 on connections are listed as dynamic rows.
	{path: "/ip/service", mark: builtIn, props: words("name disabled address"), label: words("name"), dynamic: true},
}

// ruleMatchers are what a firewall rule may say beside its chain and action.
var ruleMatchers = words("connection-state protocol src-address dst-address src-port dst-port in-interface out-interface reject-with to-addresses to-ports log-prefix")

// ruleProperties are those that rules of every table have, and more.
func ruleProperties(more string) []string {
	return words("chain action connection-state protocol src-address dst-address src-port dst-port in-interface out-interface log log-prefix " + more)
}

// unsets reports whether an empty value of a property means to unset it.
func (m *menu) unsets(property string) bool { return slices.Contains(m.unset, property) }

// hasInstances tells the schema of BGP: 7.20 gave it instances.
func hasInstances(v Version) bool { return !v.Before(7, 20, 0) }

// menuOf returns the menu with a path, nil when it is none of those managed.
func menuOf(path string) *menu {
	for i := range menus {
		if menus[i].path == path {
			return &menus[i]
		}
	}
	return nil
}

// has reports whether version v has the menu.
func (m *menu) has(v Version) bool { return m.from == nil || m.from(v) }

// proplist is what is read of each row in version v.
func (m *menu) proplist(v Version) []string {
	props := slices.Concat(m.props, restored[m.path])
	switch m.mark {
	case byComment:
		props = append(props, "comment")
	case byName:
		props = append(props, "name")
	}
	if m.disables {
		props = append(props, "disabled")
	}
	if m.path == "/routing/bgp/connection" {
		gone := "instance"
		if hasInstances(v) {
			gone = "router-id"
		}
		props = slices.DeleteFunc(props, func(p string) bool { return p == gone })
	}
	return props
}

// keyOf is the key of a row of ours; false for a foreign row.
func (m *menu) keyOf(row ros.Row) (string, bool) {
	switch m.mark {
	case byName:
		return strings.CutPrefix(row["name"], nameMark)
	case builtIn:
		return row["name"], true
	case single:
		return "", true
	}
	return strings.CutPrefix(row["comment"], commentMark)
}

// marked are the properties and values that carry a mark.
func (m *menu) marked(key string) ros.Row {
	switch m.mark {
	case byComment:
		return ros.Row{"comment": commentMark + key}
	case byName:
		return ros.Row{"name": nameMark + key}
	}
	return nil
}

// nameOf is what people call a row.
func (m *menu) nameOf(row ros.Row) string {
	if m.mark == single {
		return ""
	}
	switch key, ours := m.keyOf(row); {
	case ours && m.ordered: // "filter/input/rest", in /ip/firewall/filter
		return strings.TrimPrefix(key, path.Base(m.path)+"/")
	case ours && m.mark != byComment:
		return key
	}
	for _, p := range m.label {
		if v := row[p]; v != "" {
			return v
		}
	}
	return row[".id"]
}

// clash reports whether the router would refuse a and b beside each other, and
// by which properties.
func (m *menu) clash(a, b ros.Row) ([]string, bool) {
	for _, props := range m.unique {
		if m.equal(props, a, b) {
			return props, true
		}
	}
	return nil, false
}

func (m *menu) equal(props []string, a, b ros.Row) bool {
	for _, p := range props {
		if a[p] == "" || !same(m.path, p, a[p], b[p]) {
			return false
		}
	}
	return true
}

func words(s string) []string { return strings.Fields(s) }
