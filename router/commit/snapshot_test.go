package commit

import (
	"strings"
	"testing"

	"provision.internal/router"
	"provision.internal/router/ros"
)

func TestCompare(t *testing.T) {
	const filter, static, pool = "/ip/firewall/filter", "/ip/dns/static", "/ip/pool"
	plan := router.Plan{Operations: []router.Operation{
		{Kind: router.Add, Menu: static, Key: "record/a", Name: "a"},
		{Kind: router.Set, Menu: "/system/identity"},
		{Kind: router.Set, Menu: "/ip/service", Key: "ssh", Name: "ssh"},
		{Kind: router.Move, Menu: filter, Key: "filter/x", Name: "filter/x"},
	}}
	shot := func(rows map[string][]ros.Row) Snapshot { return snapshot(router.State{Rows: rows}) }
	x, y := ros.Row{".id": "*1", "comment": "provision:filter/x"}, ros.Row{".id": "*2", "comment": "mine"}
	tests := []struct {
		name          string
		before, after map[string][]ros.Row
		ours, foreign string // that must be in it; "-": none
	}{
		{"equal but for ids, an order that means nothing, and defaults",
			map[string][]ros.Row{pool: {{".id": "*1", "name": "b"}, {".id": "*2", "name": "c", "disabled": "false"}}},
			map[string][]ros.Row{pool: {{".id": "*7", "name": "c"}, {".id": "*9", "name": "b", "ranges": ""}}}, "-", "-"},
		{"a row of ours stays", nil, map[string][]ros.Row{static: {{"name": "a", "comment": "provision:record/a"}}}, "with", "-"},
		{"a foreign row came", nil, map[string][]ros.Row{static: {{"name": "z"}}}, "-", "with"},
		{"a foreign row went", map[string][]ros.Row{static: {{"name": "z"}}}, nil, "-", "without"},
		{"a single row", map[string][]ros.Row{"/system/identity": {{"name": "a"}}}, map[string][]ros.Row{"/system/identity": {{"name": "b"}}}, `name="b"`, "-"},
		{"a built-in row", map[string][]ros.Row{"/ip/service": {{"name": "ssh", "disabled": "yes"}}}, map[string][]ros.Row{"/ip/service": {{"name": "ssh"}}}, "ssh", "-"},
		{"another built-in row", map[string][]ros.Row{"/ip/service": {{"name": "ftp", "disabled": "yes"}}}, map[string][]ros.Row{"/ip/service": {{"name": "ftp"}}}, "-", "ftp"},
		{"order of rules", map[string][]ros.Row{filter: {x, y}}, map[string][]ros.Row{filter: {y, x}}, "another order", "-"},
		{"a foreign rule between", map[string][]ros.Row{filter: {x, y}}, map[string][]ros.Row{filter: {x, {"comment": "new"}, y}}, "-", "new"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := compare(shot(test.before), shot(test.after), plan)
			for _, side := range []struct {
				name string
				got  []string
				want string
			}{{"ours", d.ours, test.ours}, {"foreign", d.foreign, test.foreign}} {
				text := strings.Join(side.got, "\n")
				if side.want == "-" && text != "" || side.want != "-" && !strings.Contains(text, side.want) {
					t.Errorf("%s = %q, want %q in it", side.name, text, side.want)
				}
			}
		})
	}
}

// However long the plan, no script is too long, and together they are in
// reverse order.
func TestInverseInParts(t *testing.T) {
	var plan router.Plan
	const count = 700
	for n := range count {
		name := strings.Repeat("x", n%90) + string(rune('a'+n%26))
		plan.Operations = append(plan.Operations, router.Operation{
			Kind: router.Set, Menu: "/ip/dns/static", ID: "*1", Key: "record/" + name, Name: name, Before: ros.Row{"ttl": "1d"}, After: ros.Row{"ttl": "2d"},
		})
	}
	parts := inverse(plan)
	if len(parts) < 2 {
		t.Fatalf("%d parts", len(parts))
	}
	for n, part := range parts {
		if len(part) > maxScript {
			t.Errorf("part %d has %d bytes, of at most %d", n, len(part), maxScript)
		}
	}
	whole := strings.Split(strings.TrimSpace(plan.Inverse()), "\n")
	together := strings.Split(strings.TrimSpace(strings.Join(parts, "")), "\n")
	if len(whole) != len(together) {
		t.Fatalf("%d statements in parts, %d in one", len(together), len(whole))
	}
	for n := range whole {
		if whole[n] != together[n] {
			t.Fatalf("statement %d is %q in parts, %q in one", n, together[n], whole[n])
		}
	}
	if got := inverse(router.Plan{}); got != nil {
		t.Errorf("the inverse of nothing = %q", got)
	}
}
