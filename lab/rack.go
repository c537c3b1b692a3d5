package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
)

// Rack is one virtual rack. Its fields must be set before the first call.
type Rack struct {
	Name string // unique on this computer: names the namespace
	Dir  string // everything of the rack; made by Up
	Log  *slog.Logger

	// WithUpstream makes Serve start an upstream, which the appliance's configuration
	// then names, instead of giving it a folder of repositories.
	WithUpstream bool
}

// The rack's network, as examples/lab.yaml has it.
const (
	Address = "10.77.0.1" // of the appliance
	subnet  = "/24"
	bridge  = "rack0"
)

// A rack's name is part of file names.
var rackName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// socketsDir is the folder for the unix sockets of r. The kernel has 108 bytes for a
// socket's path, and Dir may be deep in somebody's home.
func (r *Rack) socketsDir() string { return filepath.Join("/run", r.namespace()) }

// socket is one of them.
func (r *Rack) socket(name string) string { return filepath.Join(r.socketsDir(), name) }

// ErrNotRoot tells that the caller may not make namespaces.
var ErrNotRoot = errors.New("the rack needs root for its network namespace: run it through sudo")

// Open returns the rack called name in the folder below base. It makes nothing.
func Open(base, name string, log *slog.Logger) (*Rack, error) {
	if !rackName.MatchString(name) {
		return nil, fmt.Errorf("%q cannot name a rack: want lower-case letters, digits and dashes, at most 31", name)
	}
	dir, err := filepath.Abs(filepath.Join(base, name))
	if err != nil {
		return nil, err
	}
	return &Rack{Name: name, Dir: dir, Log: log}, nil
}

// Up makes the folder and the network. A rack that is up stays as it is.
func (r *Rack) Up(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	for _, dir := range []string{r.Dir, r.socketsDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return r.makeNetwork(ctx)
}

// IsUp reports whether the rack has its network.
func (r *Rack) IsUp() bool {
	_, err := os.Stat(filepath.Join("/run/netns", r.namespace()))
	return err == nil
}

// Down ends whatever runs in the rack and removes its network. The folder stays,
// for its logs and disks, unless purge is set. Taking down a rack that is not
// up does nothing.
func (r *Rack) Down(ctx context.Context, purge bool) error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	var errs []error
	for _, p := range r.processes() {
		errs = append(errs, p.stop(ctx))
	}
	errs = append(errs, r.removeNetwork(ctx), os.RemoveAll(r.socketsDir()))
	if purge {
		errs = append(errs, os.RemoveAll(r.Dir))
	}
	return errors.Join(errs...)
}

// path is a file of the rack's own.
func (r *Rack) path(elem ...string) string {
	return filepath.Join(append([]string{r.Dir}, elem...)...)
}

// exists reports whether a file is there; any doubt counts as yes, so that the
// caller's own access to it names the trouble.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
