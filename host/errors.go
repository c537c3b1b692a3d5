package host

import "errors"

// What callers branch on. Each is wrapped with the host's label and details.
var (
	ErrUnknown    = errors.New("unknown host")
	ErrTransition = errors.New("no such step")
	ErrGrant      = errors.New("grant refused")
	ErrIdentity   = errors.New("another machine")
	ErrDenied     = errors.New("not authorised")
	ErrExists     = errors.New("already exists")
)
