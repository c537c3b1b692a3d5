package commit

import (
	"errors"
	"fmt"

	"provision.internal/router"
	"provision.internal/router/ros"
)

// What a commit can end with. The errors of package ros (ErrLogin, ErrPin,
// ErrTLS, ErrNoRoute) come through, with what to do about them.
var (
	// ErrRefused: the plan is one that must not be applied; its Refusals say why.
	ErrRefused = router.ErrRefused

	// ErrVersion: this RouterOS is too old for safe mode over the API.
	ErrVersion = errors.New("this RouterOS is too old")

	// ErrScheduler: the router does not let the dead-man timer be.
	ErrScheduler = errors.New("the router forbids the dead-man timer")

	// ErrPending: an earlier commit of this appliance is not settled.
	ErrPending = errors.New("a commit is pending")

	// ErrElsewhere: another appliance has a commit pending on the router.
	ErrElsewhere = errors.New("another appliance has a commit pending")

	// ErrSafeMode: somebody else holds safe mode, or ours was lost.
	ErrSafeMode = errors.New("safe mode is not ours")

	// ErrCheck: the changed router does not do its work.
	ErrCheck = errors.New("a check failed")

	// ErrRolledBack: the commit was taken back; the router is as it was.
	ErrRolledBack = errors.New("rolled back")

	// ErrUnknown: what the router is like now is not known.
	ErrUnknown = errors.New("the outcome is unknown")

	// ErrNothingPending: there is no commit to confirm or to roll back.
	ErrNothingPending = errors.New("no commit is pending")

	// ErrStopped: only a running daemon can hold a commit open.
	ErrStopped = errors.New("nobody would hold the commit open")
)

// explain adds what to do to errors of reaching the router.
func explain(err error) error {
	switch {
	case errors.Is(err, ros.ErrLogin):
		return fmt.Errorf("%w; set router.user and router.password_file to an account of the group full", err)
	case errors.Is(err, ros.ErrDeviceMode):
		return fmt.Errorf("%w: %w; run `/system/device-mode/update scheduler=yes` on the router and confirm it there with the button", ErrScheduler, err)
	case errors.Is(err, ros.ErrPermission):
		return fmt.Errorf("%w; router.user must be of the group full", err)
	}
	return err
}
