package routertest

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// check refuses a row that can't be, beside the others: what single values
// can't tell. The old row is nil when one is added.
func (r *Router) check(t *table, old, altered *row) error {
	for _, u := range t.uniques {
		if err := r.checkUnique(t, u, old, altered); err != nil {
			return err
		}
	}
	switch t.path {
	case "/interface/bridge/vlan":
		return r.checkVLAN(t, old, altered)
	case "/interface/bridge/port":
		if i, ok := r.interfaceByID(altered.fields["interface"]); ok && i.menu != "/interface/ethernet" && i.menu != "/interface/vlan" {
			return trap(categoryGeneral, "failure: cannot add %s to bridge", strings.TrimPrefix(i.menu, "/interface/")) // [?]
		}
	case "/interface/vlan":
		if old != nil && altered.fields["interface"] == formatID(old.id) {
			return trap(categoryGeneral, "failure: interface can not be its own parent") // [?]
		}
	case "/ip/address":
		followNetwork(old, altered)
	case "/ip/dhcp-server/network":
		if p, err := netip.ParsePrefix(altered.fields["address"]); err == nil && p != p.Masked() {
			return trap(categoryGeneral, "failure: invalid network")
		}
	case "/ip/dhcp-server/lease":
		return checkLease(t, old, altered)
	case "/ip/dns/static":
		return checkRecord(altered)
	}
	return nil
}

// checkUnique refuses a row that agrees with another in the properties that
// may not agree. The names of interfaces are unique over all kinds.
func (r *Router) checkUnique(t *table, u unique, old, altered *row) error {
	if u.enabled && !altered.on() {
		return nil
	}
	same := []*table{t}
	if slices.Contains(interfaceMenus, t.path) && slices.Equal(u.props, []string{"name"}) {
		same = nil
		for _, menu := range interfaceMenus {
			same = append(same, r.tables[menu])
		}
	}
	for _, table := range same {
		for _, other := range table.rows {
			if other == old || other.dynamic() || u.enabled && !other.on() {
				continue
			}
			if !slices.ContainsFunc(u.props, func(name string) bool { return t.value(altered, name) != t.value(other, name) }) {
				return &Trap{u.message, categoryGeneral}
			}
		}
	}
	return nil
}

// checkVLAN holds a VLAN of a bridge to the rules for its members.
func (r *Router) checkVLAN(t *table, old, altered *row) error {
	tagged, untagged := splitList(altered.fields["tagged"]), splitList(altered.fields["untagged"])
	for _, refs := range [][]string{tagged, untagged} {
		seen := map[string]bool{}
		for _, ref := range refs {
			if seen[ref] {
				return trap(categoryGeneral, "failure: each interface can appear only once")
			}
			seen[ref] = true
		}
	}
	if slices.ContainsFunc(tagged, func(ref string) bool { return slices.Contains(untagged, ref) }) {
		return trap(categoryGeneral, "failure: interface cannot be in tagged and untagged at the same time")
	}
	for _, other := range t.rows {
		if other == old || other.dynamic() || other.fields["bridge"] != altered.fields["bridge"] {
			continue
		}
		if overlap(other.fields["vlan-ids"], altered.fields["vlan-ids"]) {
			return trap(categoryGeneral, "failure: vlan already added")
		}
	}
	return nil
}

// overlap tells whether two lists such as 10,20-30 have a VLAN in common.
func overlap(a, b string) bool {
	for _, part := range splitList(a) {
		low, high, span := strings.Cut(part, "-")
		if !span {
			high = low
		}
		from, _ := strconv.Atoi(low)
		to, _ := strconv.Atoi(high)
		for vlan := from; vlan <= to; vlan++ {
			if inRanges(b, vlan) {
				return true
			}
		}
	}
	return false
}

// followNetwork lets the network follow an address that was altered.
func followNetwork(old, altered *row) {
	if old != nil && old.fields["address"] != altered.fields["address"] && old.fields["network"] == altered.fields["network"] {
		delete(altered.fields, "network")
	}
}

// checkLease refuses a second static lease for a client or an address. A lease
// of all servers is of each of them.
func checkLease(t *table, old, altered *row) error {
	if altered.fields["server"] == "all" {
		delete(altered.fields, "server") // it is not shown either
	}
	if altered.fields["address"] == "" && altered.fields["mac-address"] == "" && altered.fields["client-id"] == "" {
		return trap(categoryMissing, "missing value(s) of argument(s) address")
	}
	if !altered.on() {
		return nil
	}
	for _, other := range t.rows {
		if other == old || other.dynamic() || !other.on() {
			continue
		}
		mine, theirs := altered.fields["server"], other.fields["server"]
		shared := mine == "" || theirs == "" || mine == theirs
		if mac := altered.fields["mac-address"]; shared && mac != "" && mac == other.fields["mac-address"] {
			return trap(categoryGeneral, "failure: already have static lease for this client")
		}
		if address := altered.fields["address"]; address != "" && address == other.fields["address"] {
			return trap(categoryGeneral, "failure: already have static lease with this IP address")
		}
	}
	return nil
}

// recordFields are the properties that hold the value of a type of DNS record,
// the first of them needed.
var recordFields = map[string][]string{
	"A": {"address"}, "AAAA": {"address"}, "CNAME": {"cname"}, "FWD": {"forward-to"},
	"MX": {"mx-exchange", "mx-preference"}, "NS": {"ns"}, "NXDOMAIN": nil,
	"SRV": {"srv-target", "srv-port", "srv-priority", "srv-weight"}, "TXT": {"text"},
}

// checkRecord holds a DNS record to its type: the value must be there, what
// belongs to another type is dropped silently, as seen on 7.23.
func checkRecord(altered *row) error {
	f := altered.fields
	switch {
	case f["name"] != "" && f["regexp"] != "":
		return trap(categoryGeneral, "failure: only name or regexp allowed")
	case f["name"] == "" && f["regexp"] == "":
		return trap(categoryMissing, "missing value(s) of argument(s) name")
	}
	kind := f["type"]
	if kind == "" {
		kind = "A"
		for _, other := range []string{"CNAME", "FWD"} { // told by the value alone
			if f[recordFields[other][0]] != "" && f["address"] == "" {
				kind = other
				f["type"] = kind
			}
		}
	}
	own := recordFields[kind]
	if len(own) > 0 && f[own[0]] == "" {
		return trap(categoryGeneral, "failure: bad %s data", kind)
	}
	for _, fields := range recordFields {
		for _, name := range fields {
			if !slices.Contains(own, name) {
				delete(f, name)
			}
		}
	}
	for _, name := range own[min(1, len(own)):] {
		if f[name] == "" {
			f[name] = "0"
		}
	}
	return nil
}

// checkRemove refuses to take away what others need. Most references don't
// hinder: what names the row shows its id from then on.
func (r *Router) checkRemove(menu string, old *row) error {
	switch menu {
	case "/user/group":
		for _, account := range r.tables["/user"].rows {
			if account.fields["group"] == formatID(old.id) {
				return trap(categoryGeneral, "failure: group has some users")
			}
		}
	case "/user":
		full := 0
		for _, account := range r.tables["/user"].rows {
			if account != old && account.on() && strings.Contains(","+r.policyOf(account)+",", ",policy,") {
				full++
			}
		}
		if full == 0 {
			return trap(categoryGeneral, "failure: can't remove last full user") // [?]
		}
	}
	return nil
}
