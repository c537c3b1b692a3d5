package commit

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"provision.internal/router"
	"provision.internal/router/ros"
)

// Snapshot is the router's configuration as router.Read sees it, in a form in
// which two readings can be compared: rows by menu, without ids, which a row
// that was removed and added again does not keep, and without what stands at
// its default, which RouterOS shows only once it was written.
type Snapshot map[string][]ros.Row

// snapshot takes what was read apart from the router that it was read from.
func snapshot(s router.State) Snapshot {
	shot := Snapshot{}
	for menu, rows := range s.Rows {
		list := make([]ros.Row, 0, len(rows))
		for _, row := range rows {
			clean := ros.Row{}
			for k, v := range row {
				v = router.Canonical(menu, k, v)
				if k != ".id" && v != router.Canonical(menu, k, "") {
					clean[k] = v
				}
			}
			list = append(list, clean)
		}
		if !ordered(menu) {
			slices.SortFunc(list, func(a, b ros.Row) int { return strings.Compare(line(a), line(b)) })
		}
		shot[menu] = list
	}
	return shot
}

// ordered tells the menus in which the order of rows means something: rules,
// and static names, of which the first that fits is the answer.
func ordered(menu string) bool {
	return strings.HasPrefix(menu, "/ip/firewall/") || menu == "/ip/dns/static"
}

// line is a row as text, the same for equal rows.
func line(row ros.Row) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(row)) {
		fmt.Fprintf(&b, " %s=%s", k, strconv.Quote(row[k]))
	}
	return b.String()
}

// difference is what lies between two snapshots.
type difference struct {
	ours    []string // in rows that the plan is about
	foreign []string // in others: somebody else's doing
}

// compare tells what differs between two readings of the router, and whether
// the plan is about it.
func compare(before, after Snapshot, p router.Plan) difference {
	var d difference
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, menu := range slices.Sorted(maps.Keys(names)) {
		gone, left := minus(before[menu], after[menu])
		come, came := minus(after[menu], before[menu])
		d.add(p, menu, "without", gone)
		d.add(p, menu, "with", come)
		if !slices.EqualFunc(left, came, func(a, b ros.Row) bool { return maps.Equal(a, b) }) {
			d.ours = append(d.ours, menu+" in another order")
		}
	}
	return d
}

func (d *difference) add(p router.Plan, menu, how string, rows []ros.Row) {
	for _, row := range rows {
		text := fmt.Sprintf("%s %s%s", menu, how, line(row))
		if concerns(p, menu, row) {
			d.ours = append(d.ours, text)
		} else {
			d.foreign = append(d.foreign, text)
		}
	}
}

// concerns tells whether the plan is about a row: it has the mark or name of
// one of the plan's operations, or is a row that the plan removes or adopts.
func concerns(p router.Plan, menu string, row ros.Row) bool {
	for _, o := range p.Operations {
		if o.Menu != menu {
			continue
		}
		switch {
		case o.Key == "", // a menu of one row, or a foreign row that is pruned
			row["comment"] == "provision:"+o.Key, row["name"] == "provision-"+o.Key,
			row["name"] == o.Key, o.Name != "" && row["name"] == o.Name:
			return true
		}
	}
	return false
}

// minus returns the rows of a that are not in b, each as often as it is missing,
// and those of a that are, in their order.
func minus(a, b []ros.Row) (missing, rest []ros.Row) {
	count := map[string]int{}
	for _, row := range b {
		count[line(row)]++
	}
	for _, row := range a {
		if key := line(row); count[key] > 0 {
			count[key]--
			rest = append(rest, row)
		} else {
			missing = append(missing, row)
		}
	}
	return missing, rest
}
