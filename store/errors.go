package store

import (
	"errors"
	"fmt"
	"syscall"
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
