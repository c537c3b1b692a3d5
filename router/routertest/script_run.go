package routertest

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// shell is what a script runs on.
type shell interface {
	// do carries out a command of a menu.
	do(menu, verb string, args []arg) ([]record, error)
	// sleep waits; its error ends the script.
	sleep(d time.Duration) error
}

// run is a script being carried out.
type run struct {
	on      shell
	globals map[string]value
	scopes  []map[string]value
	output  strings.Builder // of :put
	steps   int
}

// maxSteps is when a script that never waits is given up: on the router it
// would take all of the processor.
const maxSteps = 100_000

// returned is the way out of a script from inside of its blocks.
type returned struct{ value value }

func (*returned) Error() string { return "return outside of a script" }

// interpret runs a script and gives what it returned.
func interpret(b *block, on shell, globals map[string]value) (*run, value, error) {
	x := &run{on: on, globals: globals}
	v, err := x.block(b, nil)
	if back := (*returned)(nil); errors.As(err, &back) {
		return x, back.value, nil
	}
	return x, v, err
}

// block runs statements in a scope that begins with the variables, and gives
// what the last statement gave.
func (x *run) block(b *block, variables map[string]value) (value, error) {
	scope := map[string]value{}
	for name, v := range variables {
		scope[name] = v
	}
	x.scopes = append(x.scopes, scope)
	defer func() { x.scopes = x.scopes[:len(x.scopes)-1] }()
	var last value
	for _, s := range b.statements {
		if x.steps++; x.steps > maxSteps {
			return nil, trap(categoryScript, "script runs without end")
		}
		var err error
		if s.scope != nil {
			last, err = x.block(s.scope, nil)
		} else if s.inLanguage {
			last, err = x.languageCommand(s)
		} else {
			last, err = x.menuCommand(s)
		}
		if err != nil {
			return nil, err
		}
	}
	return last, nil
}

// menuCommand carries out a command of a menu.
func (x *run) menuCommand(s *statement) (value, error) {
	switch s.verb {
	case "find", "print":
		return x.find(s)
	case "get":
		return x.get(s)
	}
	var args []arg
	for i, name := range positional(s.verb)[:len(s.values)] {
		text, err := x.argument(s.values[i])
		if err != nil {
			return nil, err
		}
		// Nothing found is nothing to do.
		if text == "" && (name == "numbers" || name == "number") {
			return nil, nil
		}
		args = append(args, arg{name, text})
	}
	for _, name := range sortedKeys(s.named) {
		text, err := x.argument(s.named[name])
		if err != nil {
			return nil, err
		}
		if text == "" && name == "numbers" {
			return nil, nil
		}
		args = append(args, arg{name, text})
	}
	for _, flag := range s.flags {
		args = append(args, arg{flag, ""})
	}
	rows, err := x.on.do(s.menu, s.verb, args)
	if err != nil {
		return nil, err
	}
	if len(rows) == 1 {
		if ret, ok := rows[0]["ret"]; ok {
			return fromText(ret), nil
		}
		return fromRecord(rows[0]), nil
	}
	return nil, nil
}

// argument evaluates what goes into a command. Words stay as they are written.
func (x *run) argument(n node) (string, error) {
	if c, ok := n.(constNode); ok && c.word != "" {
		return c.word, nil
	}
	v, err := x.eval(n, nil)
	return toArgument(v), err
}

// find gives the ids of the rows for which the conditions hold; print gives
// their number or themselves.
func (x *run) find(s *statement) (value, error) {
	rows, err := x.on.do(s.menu, "print", nil)
	if err != nil {
		return nil, err
	}
	ids, values := new(array), new(array)
	for _, row := range rows {
		if s.where != nil {
			v, err := x.eval(s.where, row)
			if err != nil {
				return nil, err
			}
			if yes, _ := truth(v); !yes {
				continue
			}
		}
		ids.add("", itemID(row[".id"]))
		values.add("", fromRecord(row))
	}
	switch {
	case s.verb == "find":
		return ids, nil
	case slices.Contains(s.flags, "count-only"):
		return int64(len(ids.elements)), nil
	case slices.Contains(s.flags, "as-value"):
		return values, nil
	}
	return nil, nil
}

// get gives one property of one row, or all.
func (x *run) get(s *statement) (value, error) {
	rows, err := x.on.do(s.menu, "print", nil)
	if err != nil {
		return nil, err
	}
	words := make([]string, 0, 2)
	for _, n := range s.values {
		text, err := x.argument(n)
		if err != nil {
			return nil, err
		}
		words = append(words, text)
	}
	// A menu with one row without an id is named by nothing.
	if len(rows) != 1 || rows[0][".id"] != "" {
		if len(words) == 0 || words[0] == "" {
			return nil, errNoItem
		}
		number := words[0]
		rows = slices.DeleteFunc(rows, func(row record) bool { return row[".id"] != number && row["name"] != number })
		if len(rows) != 1 {
			return nil, errNoItem
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return fromRecord(rows[0]), nil
	}
	text, ok := rows[0][words[0]]
	if !ok {
		return nil, nil
	}
	return fromText(text), nil
}

func (a *array) add(key string, v value) {
	a.keys, a.elements = append(a.keys, key), append(a.elements, v)
}

// fromRecord makes a row an array with keys.
func fromRecord(row record) *array {
	a := new(array)
	for _, name := range sortedKeys(row) {
		a.add(name, fromText(row[name]))
	}
	return a
}
