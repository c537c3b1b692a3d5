package routertest

import "fmt"

// Categories of a trap, as the manual of the API numbers them.
const (
	categoryMissing     = 0 // missing item or command
	categoryArgument    = 1 // value of an argument
	categoryInterrupted = 2
	categoryScript      = 3
	categoryGeneral     = 4
	categoryAPI         = 5
	noCategory          = -1
)

// Trap is a refusal as the router words it.
type Trap struct {
	Message  string
	Category int // -1: the router names none
}

func (t *Trap) Error() string { return t.Message }

func trap(category int, format string, a ...any) *Trap {
	return &Trap{Message: fmt.Sprintf(format, a...), Category: category}
}

// The refusals that every menu shares.
var (
	errNoItem        = &Trap{"no such item", categoryMissing}
	errNoCommand     = &Trap{"no such command", categoryMissing}
	errNoPrefix      = &Trap{"no such command prefix", categoryMissing}
	errNoPermission  = &Trap{"not enough permissions (9)", noCategory}
	errInterrupted   = &Trap{"interrupted", categoryInterrupted}
	errWrongPassword = &Trap{"invalid user name or password (6)", noCategory}
)
