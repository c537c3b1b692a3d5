package router

import (
	"context"
	"errors"

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
	Back   string  `json:"-"`                // in ordered menus: where it stood, for Inverse
}

// Apply carries the operation out.
func (o Operation) Apply(ctx context.Context, conn *ros.Conn) error {
	return errors.New("not there yet")
}

// Foreign is a row that is not ours.
type Foreign struct {
	Menu     string  `json:"menu"`
	ID       string  `json:"id"`
	Name     string  `json:"name"` // as --prune and --adopt take it after MENU/
	Fields   ros.Row `json:"fields"`
	Conflict string  `json:"conflict,omitempty"` // with which row of ours it cannot be
}

// Plan leads from what is to what shall be.
type Plan struct {
	Operations []Operation `json:"operations"`        // in the order in which they are safe
	Foreign    []Foreign   `json:"foreign,omitempty"` // that stay
	Held       []string    `json:"held,omitempty"`    // what Options.HoldBack keeps for a second plan, and why
	Warnings   []string    `json:"warnings,omitempty"`
	Refusals   []string    `json:"refusals,omitempty"` // why it must not be carried out
}

// ErrRefused is what Err wraps.
var ErrRefused = errors.New("refused")

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Operations) == 0 }

// Err is why the plan must not be carried out, nil when it may.
func (p Plan) Err() error { return nil }

// Text is the plan for people.
func (p Plan) Text(color bool) string { return "" }

// Inverse is a RouterOS script that takes every operation back, in reverse
// order. It may run after any part of the plan, and more than once.
func (p Plan) Inverse() string { return "" }

// Options are the operator's wishes for one plan.
type Options struct {
	// Prune names foreign rows to remove, Adopt foreign rows to take over where
	// they stand for one of ours: MENU/NAME, MENU/*ID, or MENU for all of it.
	Prune, Adopt []string

	// HoldBack leaves out what the session runs over and what that is in the
	// way of, instead of refusing the plan: bootstrap makes a second plan from
	// a session on the production address.
	HoldBack bool
}

// Desired are the rows that the configuration stands for, in the order in which
// they are safe to add.
func (c Config) Desired(in Inputs, v Version) []Row { return nil }

// Plan compares what shall be with what is. A plan with refusals must not be
// carried out.
func (c Config) Plan(in Inputs, actual State, o Options) Plan { return Plan{} }
