package router

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"provision.internal/router/ros"
)

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
func (p Plan) Err() error {
	if len(p.Refusals) == 0 {
		return nil
	}
	return fmt.Errorf("the plan is %w:\n  %s", ErrRefused, strings.Join(p.Refusals, "\n  "))
}

// Fingerprint tells plans apart by what they do.
func (p Plan) Fingerprint() string {
	text, err := json.Marshal(p.Operations)
	if err != nil {
		panic(err) // strings only
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

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
