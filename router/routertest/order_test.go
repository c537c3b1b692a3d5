package routertest_test

import (
	"strings"
	"testing"

	"provision.internal/router/routertest"
)

// chains lists the names of the chains in their order.
func chains(r *routertest.Router) string {
	var names []string
	for _, row := range r.Rows("/ip/firewall/filter") {
		names = append(names, row["chain"])
	}
	return strings.Join(names, "")
}

func TestOrder(t *testing.T) {
	for _, test := range []struct{ command, want, refused string }{
		{"add =chain=x", "abcdx", ""},
		{"add =chain=x =place-before=*1", "xabcd", ""},
		{"add =chain=x =place-before=*3", "abxcd", ""},
		{"add =chain=x =place-before=*99", "abcd", "no such item"},
		{"move =numbers=*4 =destination=*1", "dabc", ""},
		{"move =.id=*1 =destination=*4", "bcad", ""},
		{"move =numbers=*4,*3 =destination=*1", "dcab", ""},
		{"move =numbers=*1,*3 =destination=*2", "acbd", ""},
		{"move =numbers=*1", "bcda", ""},
		{"move =numbers=*1 =destination=*99", "bcda", ""}, // silently to the end
		{"move =numbers=*1 =destination=*1", "abcd", "failure: can not move object before itself"},
		{"remove =numbers=*2,*4", "ac", ""},
		{"remove =numbers=*4,*1,*2", "c", ""},
		{"set =numbers=*2 =chain=z", "azcd", ""},
	} {
		r := listening(t, routertest.Config{})
		for _, name := range []string{"a", "b", "c", "d"} {
			do(t, r, "/ip/firewall/filter/add", "=chain="+name)
		}
		words := strings.Fields(test.command)
		_, err := r.Do("/ip/firewall/filter/"+words[0], words[1:]...)
		if refused := ""; err != nil {
			if refused = err.Error(); refused != test.refused {
				t.Errorf("%s: refused with %q, want %q", test.command, refused, test.refused)
			}
		}
		if got := chains(r); got != test.want {
			t.Errorf("%s: order %s, want %s", test.command, got, test.want)
		}
		if err != nil {
			continue
		}
		do(t, r, "/undo")
		if got := chains(r); got != "abcd" {
			t.Errorf("%s and /undo: order %s, want abcd", test.command, got)
		}
	}
}

func TestPrint(t *testing.T) {
	r := site(t, routertest.Config{})
	if got := do(t, r, "/interface/print", "=count-only=", "?type=ether"); got != "10" {
		t.Errorf("count of ethernets: %s, want 10", got)
	}
	row := one(t, r, "/interface/bridge/port", "=.proplist=interface,pvid,nonsense", "?interface=ether7")
	if len(row) != 2 || row["interface"] != "ether7" || row["pvid"] != "30" {
		t.Errorf("with .proplist: %v", row)
	}
	rows, err := r.Do("/interface/print", "=.proplist=name", "?type=bridge", "?type=vlan", "?#|")
	if err != nil || len(rows) != 2 {
		t.Errorf("bridges or VLANs: %v, %v, want two", rows, err)
	}
	if got := do(t, r, "/ip/pool/find", "?name=lan0"); got != "*1" {
		t.Errorf("find: %q, want *1", got)
	}
	if got := do(t, r, "/ip/pool/get", "=number=lan0", "=value-name=ranges"); got != "192.0.2.10-192.0.2.19" {
		t.Errorf("get: %q", got)
	}
	if got := do(t, r, "/interface/get", "=.id=lan0", "=value-name=type"); got != "vlan" {
		t.Errorf("get of /interface: %q, want vlan", got)
	}
}
