package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Where the two kinds of init systems keep services.
const (
	systemdRuns  = "/run/systemd/system" // exists while systemd is init: sd_booted(3)
	runitDefault = "/etc/runit/runsvdir/default"
	runitService = "/etc/sv/nomad"
)

// initSystem enables and starts the service of the system's package of nomad.
type initSystem interface {
	// start enables the service, and makes it read its configuration anew.
	start(context.Context) error
}

const installNomad = "install the system's package of nomad, which brings it"

// service finds out which init system the machine has.
func (z *NodeZero) service(ctx context.Context) (initSystem, error) {
	exists := func(name string) bool {
		_, err := os.Stat(z.path(name))
		return err == nil
	}
	switch {
	case exists(systemdRuns):
		if err := z.command(ctx, "systemctl", "cat", "nomad.service"); err != nil {
			return nil, fmt.Errorf("systemd has no service nomad (%w): %s", err, installNomad)
		}
		return systemd{z}, nil
	case exists(runitDefault):
		if !exists(runitService + "/run") {
			return nil, fmt.Errorf("runit has no service nomad in %s: %s", runitService, installNomad)
		}
		return runit{z}, nil
	}
	return nil, fmt.Errorf("neither systemd nor runit runs this machine (%s, %s): take it out of cluster.servers", systemdRuns, runitDefault)
}

func (z *NodeZero) command(ctx context.Context, name string, args ...string) error {
	if z.Command != nil {
		return z.Command(ctx, name, args...)
	}
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

type systemd struct{ *NodeZero }

func (s systemd) start(ctx context.Context) error {
	if err := s.command(ctx, "systemctl", "enable", "nomad.service"); err != nil {
		return err
	}
	return s.command(ctx, "systemctl", "restart", "nomad.service")
}

type runit struct{ *NodeZero }

// start links the service, which runsvdir then starts within five seconds, or
// restarts the one that was linked before.
func (r runit) start(ctx context.Context) error {
	dir := r.path(runitDefault)
	switch err := os.Symlink(runitService, filepath.Join(dir, "nomad")); {
	case err == nil:
		return syncFolder(dir)
	case errors.Is(err, fs.ErrExist):
		// Given by its path, because where runsvdir looks differs between systems.
		return r.command(ctx, "sv", "restart", r.path(runitService))
	default:
		return err
	}
}
