package router

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// The inverse of a plan, run after any part of it, leads back; run again it
// changes nothing more.
func TestInverseLeadsBack(t *testing.T) {
	for seed := range 40 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c, in := matrix()
			rng, r, conn, story := lived(t, seed, c, in)
			o := everything()
			for _, f := range c.Plan(in, read(t, conn), o).Foreign {
				if f.Conflict != "" || rng.IntN(2) == 0 {
					o.Prune = append(o.Prune, f.Menu+"/"+f.ID)
				}
			}
			before := meaning(r.Snapshot())
			plan := c.Plan(in, read(t, conn), o)
			if len(plan.Operations) == 0 {
				return
			}
			done := rng.IntN(len(plan.Operations) + 1)
			for _, op := range plan.Operations[:done] {
				if err := op.Apply(t.Context(), conn); err != nil {
					t.Fatalf("%s %s %s: %v", op.Kind, op.Menu, op.Name, err)
				}
			}
			for _, when := range []string{"once", "twice"} {
				if err := r.RunScript(plan.Inverse()); err != nil {
					t.Fatalf("%v in\n%s", err, plan.Inverse())
				}
				if after := meaning(r.Snapshot()); after != before {
					t.Fatalf("after %d of %d operations, run %s, differs:\n%s\nafter\n%s\nplan\n%s\ninverse\n%s",
						done, len(plan.Operations), when, differences(before, after), strings.Join(story, "\n"), plan.Text(false), plan.Inverse())
				}
			}
		})
	}
}

// unsaid are values that mean the same as their absence, since some menus cannot
// unset what was set once, and the network of an address, which follows from it.
var unsaid = regexp.MustCompile(` [a-z-]+=""| (log|disabled)=false| network=[0-9.]+`)

// meaning is a snapshot without that, and without rows that refer to a row that
// is gone ("*1C"): such cannot be made again.
func meaning(snapshot string) string {
	var b strings.Builder
	for line := range strings.Lines(unsaid.ReplaceAllString(snapshot, "")) {
		if !strings.Contains(line, "*") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// differences are the lines that only one of two texts has.
func differences(before, after string) string {
	var b strings.Builder
	for _, side := range []struct{ sign, these, those string }{{"- ", before, after}, {"+ ", after, before}} {
		those := map[string]bool{}
		for line := range strings.Lines(side.those) {
			those[line] = true
		}
		for line := range strings.Lines(side.these) {
			if !those[line] {
				b.WriteString(side.sign + line)
			}
		}
	}
	if b.Len() == 0 {
		old, now := strings.Split(before, "\n"), strings.Split(after, "\n")
		for i := range old {
			if old[i] != now[i] {
				return "the order of rows, from " + old[i] + " on, where now is " + now[i]
			}
		}
	}
	return b.String()
}
