package bootstrap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"provision.internal/router/ros"
)

// pinFile is below the state folder of the router.
const pinFile = "certificate"

// ReadPin returns the pin that a takeover has kept in dir; the zero Pin when
// there was none.
func ReadPin(dir string) (ros.Pin, error) {
	name := filepath.Join(dir, pinFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return ros.Pin{}, nil
	}
	if err != nil {
		return ros.Pin{}, err
	}
	pin, err := ros.ParsePin(strings.TrimSpace(string(text)))
	if err != nil {
		return ros.Pin{}, fmt.Errorf("%s: %w; remove the file and pin the router anew", name, err)
	}
	return pin, nil
}

// WritePin keeps a pin in dir, durably.
func WritePin(dir string, pin ros.Pin) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, pinFile+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = fmt.Fprintln(f, pin)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, pinFile)); err != nil {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
