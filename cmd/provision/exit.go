package main

import (
	"context"
	"errors"
	"fmt"

	"provision.internal/daemon"
	"provision.internal/web"
)

// Exit codes, as the help documents them.
const (
	exitDone        = 0
	exitError       = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitUnknown     = 4
	exitConflict    = 5
	exitFailed      = 6
	exitTimeout     = 7
	exitNoRouter    = 8
	exitLogin       = 9
	exitCertificate = 10
	exitUnfit       = 11
	exitRolledBack  = 12
	exitOutcome     = 13
	exitNoCluster   = 14
	exitDenied      = 15
	exitInterrupted = 130 // as shells have it for SIGINT
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// errHostFailed and errTimeout end a command that followed a host.
var (
	errHostFailed = errors.New("did not become Ready")
	errTimeout    = errors.New("time is up")
)

// silent is an error about which everything has been said already.
type silent struct{ error }

func (e *silent) Unwrap() error { return e.error }

func exitCode(err error) int {
	var usage *usageError
	var faults daemon.Faults
	var refused *web.Error
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage), errors.As(err, &faults):
		return exitUsage
	case errors.Is(err, errHostFailed):
		return exitFailed
	case errors.Is(err, errTimeout):
		return exitTimeout
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &refused):
		switch refused.Code {
		case web.CodeInvalid:
			return exitUsage
		case web.CodeUnknown:
			return exitUnknown
		case web.CodeConflict, web.CodeState, web.CodeDenied:
			return exitConflict
		case web.CodeNoRouter:
			return exitNoRouter
		case web.CodeLogin:
			return exitLogin
		case web.CodeCertificate:
			return exitCertificate
		case web.CodeUnfit:
			return exitUnfit
		case web.CodeRolledBack:
			return exitRolledBack
		case web.CodeOutcome:
			return exitOutcome
		case web.CodeNoCluster:
			return exitNoCluster
		case web.CodeClusterDenied:
			return exitDenied
		}
	case errors.Is(err, web.ErrUnreachable):
		return exitUnreachable
	}
	return exitError
}
