package router

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"provision.internal/router/ros"
)

// The colours of a plan on a terminal.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	blue   = "\x1b[34m"
	bold   = "\x1b[1m"
	faint  = "\x1b[2m"
	plain  = "\x1b[0m"
)

// signs are what each kind of operation is shown with.
var signs = map[Kind]struct{ sign, color, done string }{
	Add: {"+", green, "to add"}, Set: {"~", yellow, "to change"},
	Move: {">", blue, "to move"}, Remove: {"-", red, "to remove"},
}

// foreignShown is how many foreign rows of a menu are named; JSON has them all.
const foreignShown = 6

// Text is the plan for people: operations by menu in the order in which they
// are carried out, each field before and after, then what stays and what speaks
// against it, and counts at the end.
func (p Plan) Text(color bool) string {
	w := &writer{color: color}
	menu := ""
	for _, op := range p.Operations {
		if op.Menu != menu {
			if menu != "" {
				w.line("")
			}
			menu = op.Menu
			w.line("%s", w.in(bold, menu))
		}
		w.operation(op)
	}
	w.foreign(p.Foreign)
	w.notes("Held back for a second plan:", blue, p.Held)
	w.notes("Warnings:", yellow, p.Warnings)
	w.notes("Refused:", red, p.Refusals)
	if w.Len() > 0 {
		w.line("")
	}
	w.line("%s", p.summary(w))
	return w.String()
}

// summary counts.
func (p Plan) summary(w *writer) string {
	counts := map[Kind]int{}
	for _, op := range p.Operations {
		counts[op.Kind]++
	}
	var parts []string
	for _, k := range []Kind{Add, Set, Move, Remove} {
		if n := counts[k]; n > 0 {
			parts = append(parts, w.in(signs[k].color, fmt.Sprintf("%d %s", n, signs[k].done)))
		}
	}
	text := "The router is as configured: nothing to do."
	if len(parts) > 0 {
		text = "Plan: " + strings.Join(parts, ", ") + "."
	}
	if n := len(p.Foreign); n > 0 {
		text += fmt.Sprintf(" %d foreign %s.", n, plural(n, "row stays", "rows stay"))
	}
	if len(p.Refusals) > 0 {
		text += " " + w.in(red, "It is refused: see above.")
	}
	return text
}

// writer collects lines.
type writer struct {
	strings.Builder
	color bool
}

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(w, format+"\n", args...)
}

func (w *writer) in(color, text string) string {
	if !w.color {
		return text
	}
	return color + text + plain
}

func (w *writer) operation(op Operation) {
	s := signs[op.Kind]
	title := op.Name
	if op.Kind == Move {
		title += w.in(faint, " moves "+place(op.Next))
	}
	w.line("  %s %s", w.in(s.color, s.sign), strings.TrimSpace(title))
	switch op.Kind {
	case Add:
		w.fields(op.After, func(value string) string { return w.in(green, value) })
	case Remove:
		w.fields(menuOf(op.Menu).shown(op.Before), func(value string) string { return w.in(red, value) })
	case Set:
		width := widest(op.After)
		for _, name := range slices.Sorted(maps.Keys(op.After)) {
			w.line("      %-*s  %s %s %s", width, name, w.in(red, value(op.Before[name])), w.in(faint, "→"), w.in(green, value(op.After[name])))
		}
	}
}

func (w *writer) fields(fields ros.Row, show func(string) string) {
	width := widest(fields)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		w.line("      %-*s  %s", width, name, show(value(fields[name])))
	}
}

// value shows a value: what is not set as such, and in quotes what would not be
// told from it or could do harm to a terminal.
func value(v string) string {
	if v == "" {
		return "(not set)"
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f || r > 0x7e && r < 0xa0 }) {
		return quote(v)
	}
	return v
}

func place(next string) string {
	if next == "" {
		return "to the end"
	}
	return "before " + next
}

func widest(fields ros.Row) int {
	width := 0
	for name := range fields {
		width = max(width, len(name))
	}
	return width
}

func (w *writer) foreign(rows []Foreign) {
	if len(rows) == 0 {
		return
	}
	if w.Len() > 0 {
		w.line("")
	}
	w.line("%s", w.in(bold, "Foreign rows, which stay as they are:"))
	for at := 0; at < len(rows); {
		end := at
		var names []string
		for end < len(rows) && rows[end].Menu == rows[at].Menu {
			if len(names) < foreignShown {
				names = append(names, value(rows[end].Name))
			}
			end++
		}
		if more := end - at - len(names); more > 0 {
			names = append(names, fmt.Sprintf("and %d more (--json lists all)", more))
		}
		w.line("  %s  %s", rows[at].Menu, w.in(faint, strings.Join(names, ", ")))
		at = end
	}
}

func (w *writer) notes(title, color string, notes []string) {
	if len(notes) == 0 {
		return
	}
	if w.Len() > 0 {
		w.line("")
	}
	w.line("%s", w.in(bold+color, title))
	for _, n := range notes {
		w.line("  %s", n)
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
