package router

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

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
	title := w.in(s.color, s.sign)
	if op.Name != "" {
		title += " " + value(op.Name)
	}
	switch op.Kind {
	case Add:
		w.row(title, op, op.After, green)
	case Remove:
		w.row(title, op, menuOf(op.Menu).shown(op.Before), red)
	case Move:
		w.line("  %s %s", title, w.in(faint, place(op.Next)))
	case Set:
		if op.Name != "" { // menus of one row need none
			w.line("  %s", title)
		}
		width := 0
		for name := range op.After {
			width = max(width, len(name))
		}
		for _, name := range menuOf(op.Menu).inOrder(op.After) {
			w.line("      %-*s  %s %s %s", width, name, w.in(red, value(op.Before[name])), w.in(faint, "→"), w.in(green, value(op.After[name])))
		}
	}
}

// lineWidth is where the fields of a row go on in a new line.
const lineWidth = 100

// row shows a whole row: its name, then the fields that do not repeat it.
func (w *writer) row(title string, op Operation, fields ros.Row, color string) {
	w.WriteString("  " + title)
	at := 4 + utf8.RuneCountInString(op.Name)
	for _, name := range menuOf(op.Menu).inOrder(fields) {
		if fields[name] == op.Name || name == "comment" && op.Key != "" {
			continue
		}
		length := 2 + len(name) + 1 + utf8.RuneCountInString(value(fields[name]))
		if at+length > lineWidth {
			w.WriteString("\n    ")
			at = 4
		}
		at += length
		w.WriteString("  " + w.in(faint, name+"=") + w.in(color, value(fields[name])))
	}
	w.WriteString("\n")
}

// inOrder are the names of fields in the order in which the menu has them, the
// others after them.
func (m *menu) inOrder(fields ros.Row) []string {
	names := slices.DeleteFunc(slices.Clone(m.props), func(name string) bool { _, ok := fields[name]; return !ok })
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// value shows a value: what is not set as such, and in quotes what would not be
// told from it or could do harm to a terminal.
func value(v string) string {
	if v == "" {
		return "(not set)"
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f || r > 0x7e && r < 0xa0 }) {
		return Quote(v)
	}
	return v
}

func place(next string) string {
	if next == "" {
		return "to the end"
	}
	return "before " + next
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
		w.line("  %s", value(n))
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
