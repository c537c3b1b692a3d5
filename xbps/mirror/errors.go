package mirror

import "errors"

// What requests fail with, wrapped with the file's name and what to do.
var (
	ErrUnknown  = errors.New("no such snapshot")
	ErrExists   = errors.New("there is a snapshot of that name already")
	ErrUpstream = errors.New("upstream does not answer")
	ErrVanished = errors.New("upstream no longer has it")
	ErrBroken   = errors.New("what upstream sent is not what its index names")
	ErrOlder    = errors.New("the index went back in time")
	ErrFull     = errors.New("the disk is full")
	ErrNone     = errors.New("there is no snapshot yet")
	ErrInUse    = errors.New("the snapshot is in use")
)
