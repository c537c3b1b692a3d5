package router

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"provision.internal/router/ros"
)

// Kind is what an operation does.
type Kind string

// The kinds.
const (
	Add    Kind = "add"
	Set    Kind = "set"
	Move   Kind = "move"
	Remove Kind = "remove"
)

// Operation is one change of one row.
type Operation struct {
	Kind   Kind    `json:"kind"`
	Menu   string  `json:"menu"`
	ID     string  `json:"id,omitempty"`     // the router's; a name for a row that the same plan adds; empty for a new row and in menus of one row
	Key    string  `json:"key,omitempty"`    // of our mark; empty for foreign rows
	Name   string  `json:"name"`             // as people call it
	Before ros.Row `json:"before,omitempty"` // of a set the changed fields, "" where not set; of a removal the whole row
	After  ros.Row `json:"after,omitempty"`  // of a set the changed fields, "" where they shall not be set
	Place  string  `json:"place,omitempty"`  // in ordered menus: id of the row to stand before; empty for the end
	Next   string  `json:"next,omitempty"`   // what people call that row

	// Back is the row before which it stood, in menus with an order, and Was of a
	// move where: rows go back from the last to the first.
	Back Reference `json:"back,omitzero"`
	Was  int       `json:"was,omitempty"`

	// Twins are the rows that Inverse cannot tell from a removed one: it makes no
	// more than there were.
	Twins int `json:"twins,omitempty"`
}

// Reference is a row as Inverse finds it again: by our mark, or a foreign one
// by its id. The zero value is the end of the menu.
type Reference struct {
	Key string `json:"key,omitempty"`
	ID  string `json:"id,omitempty"`
}

// Together is the operation that does what the first n of ops do in one call:
// rows of one menu that get the same values. One that is with no other is alone.
func Together(ops []Operation) (o Operation, n int) {
	o, n = ops[0], 1
	if o.Kind != Set || o.ID == "" || slices.Contains(slices.Collect(maps.Values(o.After)), "") {
		return o, n
	}
	for _, next := range ops[1:] {
		if next.Kind != Set || next.Menu != o.Menu || next.ID == "" || !maps.Equal(next.After, o.After) {
			break
		}
		o.ID += "," + next.ID
		o.Name += ", " + next.Name
		n++
	}
	return o, n
}

// Apply carries the operation out. Most take one call; a field that is unset
// may take one of its own.
func (o Operation) Apply(ctx context.Context, conn *ros.Conn) error {
	switch o.Kind {
	case Add:
		fields := o.After
		if o.Place != "" {
			fields = with(fields, "place-before", o.Place)
		}
		_, err := conn.Add(ctx, o.Menu, fields)
		return err
	case Set:
		return o.set(ctx, conn)
	case Move:
		return conn.Move(ctx, o.Menu, o.ID, o.Place)
	case Remove:
		return conn.Remove(ctx, o.Menu, o.ID)
	}
	return fmt.Errorf("%s of %s %s: no such operation", o.Kind, o.Menu, o.Name)
}

func (o Operation) set(ctx context.Context, conn *ros.Conn) error {
	m, fields := menuOf(o.Menu), ros.Row{}
	for _, name := range slices.Sorted(maps.Keys(o.After)) {
		value := o.After[name]
		if value != "" || !m.unsets(name) {
			fields[name] = value
			continue
		}
		if _, err := conn.Run(ctx, o.Menu+"/unset", "=numbers="+o.ID, "=value-name="+name); err != nil {
			return err
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return conn.Set(ctx, o.Menu, o.ID, fields)
}
