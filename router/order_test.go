package router

import (
	"fmt"
	"slices"
	"testing"

	"provision.internal/router/ros"
)

// Of rows in any order as few as possible move, and all come into order.
func TestFewestMoves(t *testing.T) {
	for seed := range 500 {
		rng := random(seed)
		n := rng.IntN(7)
		tab := &table{m: menuOf("/ip/firewall/filter")}
		for _, i := range rng.Perm(n) { // as they are, with rows of others among them
			if rng.IntN(3) == 0 {
				tab.rows = append(tab.rows, ros.Row{".id": fmt.Sprintf("*F%d", len(tab.rows))})
			}
			tab.rows = append(tab.rows, ros.Row{".id": fmt.Sprintf("*%d", i), "comment": fmt.Sprintf("provision:filter/input/r%d", i)})
		}
		var want []string
		for i := range n { // as they shall be, with new ones among them
			if rng.IntN(3) == 0 {
				key := fmt.Sprintf("filter/input/new%d", i)
				tab.want, want = append(tab.want, pair{want: Row{Key: key}}), append(want, "+"+key)
			}
			id := fmt.Sprintf("*%d", i)
			at := slices.IndexFunc(tab.rows, func(row ros.Row) bool { return row[".id"] == id })
			tab.want, want = append(tab.want, pair{want: Row{Key: fmt.Sprintf("filter/input/r%d", i)}, have: tab.rows[at]}), append(want, id)
		}
		seq := newSequence(tab)
		before := slices.Clone(seq.ids)
		moves := 0
		for _, op := range tab.change(seq) {
			if op.Kind == Move {
				moves++
			}
		}
		got := slices.DeleteFunc(slices.Clone(seq.ids), func(id string) bool { return id[1] == 'F' })
		if !slices.Equal(got, want) {
			t.Fatalf("%v becomes %v, want %v", before, got, want)
		}
		ours := slices.DeleteFunc(before, func(id string) bool { return id[1] == 'F' })
		if fewest := n - longest(ours); moves != fewest {
			t.Errorf("%v: %d moves, want %d", ours, moves, fewest)
		}
	}
}

// longest is the length of a longest increasing subsequence, by trying all.
func longest(ids []string) int {
	best := 0
	for choice := range 1 << len(ids) {
		var chosen []string
		for i, id := range ids {
			if choice>>i&1 == 1 {
				chosen = append(chosen, id)
			}
		}
		if slices.IsSorted(chosen) {
			best = max(best, len(chosen))
		}
	}
	return best
}
