package ros

import (
	"errors"
	"fmt"
	"strings"
)

// What callers branch on. Errors of a call wrap one of these or hold a *Trap.
var (
	// ErrNoRoute: no TCP connection came about.
	ErrNoRoute = errors.New("the router cannot be reached")

	// ErrTLS: something answers, but not with TLS and a certificate.
	ErrTLS = errors.New("no TLS with the router")

	// ErrPin: the certificate is another than the pinned one.
	ErrPin = errors.New("the router's certificate is not the pinned one")

	// ErrLogin: the router refuses the user or the password.
	ErrLogin = errors.New("the router refuses the login")

	// ErrNotSent: nothing of the call has reached the router.
	ErrNotSent = errors.New("not sent")

	// ErrLost: the connection ended while a call was under way, so whether the
	// router carried the call out is NOT known. ErrFatal and ErrProtocol come
	// with it and tell why.
	ErrLost = errors.New("the connection was lost, and what became of the call is not known")

	// ErrFatal: the router ended the connection with a !fatal.
	ErrFatal = errors.New("the router ended the connection")

	// ErrProtocol: what came is not the API's protocol, or too much of it.
	ErrProtocol = errors.New("the other side breaks the protocol")
)

// What a *Trap can be, told by its message, as the categories are not reliable.
var (
	ErrMissing    = errors.New("no such item")
	ErrCommand    = errors.New("no such command")   // this version does not have the menu or command
	ErrParameter  = errors.New("unknown parameter") // this version does not have the property
	ErrPermission = errors.New("not enough permissions")
	ErrDeviceMode = errors.New("forbidden by the device mode")
	ErrExists     = errors.New("exists already")
)

// Trap is the router's refusal of one call, which has changed nothing. The
// connection lives on.
type Trap struct {
	Command  string // as sent, without arguments
	Message  string // as the router wrote it, made printable
	Category int    // -1 when the router gave none

	kind error
}

// Error names the command and the router's reason.
func (t *Trap) Error() string { return t.Command + ": " + t.Message }

// Is reports whether the trap is of a kind such as ErrMissing.
func (t *Trap) Is(target error) bool { return t.kind != nil && t.kind == target }

// trapKinds are in the order in which they are looked for.
var trapKinds = []struct {
	part string
	kind error
}{
	{"no such item", ErrMissing},
	{"no such command", ErrCommand}, // also "no such command prefix"
	{"unknown parameter", ErrParameter},
	{"not enough permissions", ErrPermission},
	{"device-mode", ErrDeviceMode}, // "not allowed by device-mode"
	{"already have", ErrExists},
	{"already added", ErrExists},
	{"already exists", ErrExists},
	{"name exists", ErrExists}, // "pool with such name exists"
}

// kindOf looks for parts, because routers add a number, as in
// "not enough permissions (9)", or a "failure: " in front.
func kindOf(message string) error {
	for _, k := range trapKinds {
		if strings.Contains(message, k.part) {
			return k.kind
		}
	}
	return nil
}

// maxMessage bounds what a message may fill of a log line, in bytes.
const maxMessage = 500

// printable is a text of the router's for people: short, on one line, and
// without what a terminal would obey.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return strings.TrimSpace(s)
}

func lost(command string, cause error) error {
	return fmt.Errorf("%s: %w: %w", command, ErrLost, cause)
}
