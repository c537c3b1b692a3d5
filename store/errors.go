package store

import (
	"errors"
	"fmt"
	"syscall"

	"provision.internal/host"
)

// What Open's callers branch on. Each is wrapped with the file and what to do.
var (
	ErrLocked  = errors.New("the state folder is in use")
	ErrDamaged = errors.New("damaged")
	ErrClosed  = errors.New("the store is closed")
)

// explain adds to an error of the disk what a person can do about it.
func explain(err error, dir string) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w; nothing is lost: free space for %s and the next try succeeds", err, dir)
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w; check the disk that holds %s (dmesg), then restart provision", err, dir)
	}
	return err
}

// unknownHost is host.ErrUnknown about one address. It becomes text only when somebody
// reads it, since the DHCP server asks about every machine in the network.
type unknownHost host.MAC

func (u unknownHost) Error() string { return host.MAC(u).String() + ": " + host.ErrUnknown.Error() }
func (u unknownHost) Unwrap() error { return host.ErrUnknown }
