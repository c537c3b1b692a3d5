package web

import (
	"errors"
	"net/http"
	"slices"

	"provision.internal/host"
)

// Code sorts refusals for programs. The command line's exit codes follow it.
type Code string

// The codes.
const (
	CodeInvalid  Code = "invalid"  // the request makes no sense
	CodeUnknown  Code = "unknown"  // no such host
	CodeConflict Code = "conflict" // something else has that name, MAC or role
	CodeState    Code = "state"    // not possible in the host's state
	CodeDenied   Code = "denied"
	CodeInternal Code = "internal"

	CodeNoRouter    Code = "router-unreachable"
	CodeLogin       Code = "router-login"       // it refuses who we are, or what we may
	CodeCertificate Code = "router-certificate" // it is not the one that was pinned
	CodeUnfit       Code = "router-unfit"       // its version, or its device mode
	CodeRolledBack  Code = "rolled-back"        // the router is as it was before
	CodeOutcome     Code = "outcome-unknown"    // what the router is like now is not known

	CodeNoCluster     Code = "cluster-unreachable" // no server answers, or they have no leader
	CodeClusterDenied Code = "cluster-denied"      // it refuses the appliance's token
)

// Error is a refusal as the client gets it.
type Error struct {
	Message string `json:"error"`
	Code    Code   `json:"code"`
}

func (e *Error) Error() string { return e.Message }

// ErrInvalid marks requests that make no sense, whatever the store holds.
var ErrInvalid = errors.New("invalid request")

// ErrInUse means that another daemon listens on the socket.
var ErrInUse = errors.New("another provision serve listens there")

// ErrUnreachable means that no daemon answers on the socket.
var ErrUnreachable = errors.New("no daemon answers")

// refusal is what an error means to a client.
type refusal struct {
	err    error
	code   Code
	status int
}

// codes maps what the handlers return. Order matters: the first that matches
// wins.
var codes = []refusal{
	{ErrInvalid, CodeInvalid, http.StatusBadRequest},
	{host.ErrUnknown, CodeUnknown, http.StatusNotFound},
	{host.ErrExists, CodeConflict, http.StatusConflict},
	{host.ErrIdentity, CodeConflict, http.StatusConflict},
	{host.ErrTransition, CodeState, http.StatusConflict},
	{host.ErrGrant, CodeState, http.StatusConflict},
	{host.ErrDenied, CodeDenied, http.StatusForbidden},
}

func codeOf(err error) (Code, int) {
	all := slices.Concat(routerCodes, upkeepCodes, clusterCodes, codes)
	var coded *Error
	if errors.As(err, &coded) {
		for _, c := range all {
			if c.code == coded.Code {
				return c.code, c.status
			}
		}
	}
	for _, c := range all {
		if errors.Is(err, c.err) {
			return c.code, c.status
		}
	}
	return CodeInternal, http.StatusInternalServerError
}
