package router

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// managed are the menus in which hands may do what they like to rows.
func managed(r *routertest.Router) []*menu {
	var all []*menu
	for i := range menus {
		if m := &menus[i]; len(static(r, m)) > 0 {
			all = append(all, m)
		}
	}
	return all
}

// static are the rows that the router has not made by itself.
func static(r *routertest.Router, m *menu) []map[string]string {
	rows, err := r.Do(m.path + "/print")
	if err != nil {
		return nil // this version does not have the menu
	}
	return slices.DeleteFunc(rows, func(row map[string]string) bool { return row["dynamic"] == "true" })
}

// meddle does something by hand to a random row. What the router refuses is
// not done.
func meddle(r *routertest.Router, rng *rand.Rand) string {
	all := managed(r)
	m := all[rng.IntN(len(all))]
	rows := static(r, m)
	row, other := rows[rng.IntN(len(rows))], rows[rng.IntN(len(rows))]
	prop := m.props[rng.IntN(len(m.props))]
	var args []string
	if m.mark != single {
		args = append(args, "=numbers="+row[".id"])
	}
	verb := []string{"remove", "set", "set", "disable", "set-comment", "move", "copy"}[rng.IntN(7)]
	switch verb {
	case "set":
		args = append(args, "="+prop+"="+other[prop])
	case "set-comment":
		verb, args = "set", append(args, "=comment="+[]string{"", "by hand", "provision:" + row["name"]}[rng.IntN(3)])
	case "move":
		args = append(args, "=destination="+other[".id"])
	case "copy":
		verb, args = "add", nil
		for _, name := range append(slices.Clone(m.props), "comment") {
			if v := row[name]; v != "" {
				args = append(args, "="+name+"="+v)
			}
		}
	}
	_, err := r.Do(m.path+"/"+verb, args...)
	return fmt.Sprintf("%s/%s %s: %v", m.path, verb, strings.Join(args, " "), err)
}

// random is a number source that a failing test can be repeated with.
func random(seed int) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed), 1)) }

// partly carries out some of the operations, in their order. What cannot be
// done without what was left out is left out too.
func partly(t *testing.T, conn *ros.Conn, p Plan, rng *rand.Rand) {
	t.Helper()
	for _, op := range p.Operations {
		if rng.IntN(3) == 0 {
			continue
		}
		if err := op.Apply(t.Context(), conn); err != nil && !errors.As(err, new(*ros.Trap)) {
			t.Fatal(err)
		}
	}
}

// everything adopts whatever stands for a row of ours.
func everything() Options {
	var o Options
	for _, m := range menus {
		o.Adopt = append(o.Adopt, m.path)
	}
	return o
}

// converges plans and applies, and wants the next plan to be empty.
func converges(t *testing.T, conn *ros.Conn, c Config, in Inputs, o Options, story []string) {
	t.Helper()
	plan := c.Plan(in, read(t, conn), o)
	for _, f := range plan.Foreign {
		if f.Conflict != "" { // one too many to adopt
			o.Prune = append(o.Prune, f.Menu+"/"+f.ID)
		}
	}
	plan = c.Plan(in, read(t, conn), o)
	if err := plan.Err(); err != nil {
		t.Fatalf("%v\nafter\n%s", err, strings.Join(story, "\n"))
	}
	for _, op := range plan.Operations {
		if err := op.Apply(t.Context(), conn); err != nil {
			t.Fatalf("%s %s %s %v: %v\nafter\n%s\nin\n%s", op.Kind, op.Menu, op.Name, op.After, err, strings.Join(story, "\n"), plan.Text(false))
		}
	}
	if again := c.Plan(in, read(t, conn), o); !again.Empty() || again.Err() != nil {
		t.Fatalf("the second plan is not empty:\n%s\nafter\n%s\nand\n%s", again.Text(false), strings.Join(story, "\n"), plan.Text(false))
	}
}

var versions = []string{"7.18", "7.21.3", "7.24.2"}

// lived is a router with a part of the plan on it and what others did since.
func lived(t *testing.T, seed int, c Config, in Inputs) (*rand.Rand, *routertest.Router, *ros.Conn, []string) {
	rng := random(seed)
	r, conn := simulated(t, routertest.Config{Version: versions[seed%len(versions)]})
	partly(t, conn, c.Plan(in, read(t, conn), Options{}), rng)
	var story []string
	for range rng.IntN(20) {
		story = append(story, meddle(r, rng))
	}
	return rng, r, conn, story
}

func TestEverySecondPlanIsEmpty(t *testing.T) {
	for seed := range 40 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c, in := matrix()
			_, _, conn, story := lived(t, seed, c, in)
			converges(t, conn, c, in, everything(), story)
		})
	}
}
