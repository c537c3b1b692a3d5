package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// configure runs the post stage of a package's INSTALL script and marks it installed.
func (s *system) configure(ctx context.Context, e *entry) error {
	fmt.Printf("%s: configuring ...\n", e.Pkgver)
	if err := s.script(ctx, e, "post"); err != nil {
		return err
	}
	e.State = stateInstalled
	return nil
}

// script runs a stage of the INSTALL script, from the root folder: inside of it once it has a
// shell, which the packages before base-files do not have.
func (s *system) script(ctx context.Context, e *entry, stage string) error {
	if len(e.InstallScript) == 0 {
		return nil
	}
	f, err := os.CreateTemp(s.root, ".xbps-script-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(e.InstallScript); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", filepath.Base(f.Name()), stage, e.Name(), e.Version(), "no", "no", arch())
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.root, os.Stdout, os.Stderr
	if s.root != "/" && unix.Access(filepath.Join(s.root, "bin/sh"), unix.X_OK) == nil && os.Geteuid() == 0 {
		cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Chroot: s.root}, "/"
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: INSTALL script failed to execute the %s ACTION: %w", e.Pkgver, stage, err)
	}
	return nil
}

// arch is the architecture that packages are installed for.
func arch() string {
	if a := os.Getenv("XBPS_ARCH"); a != "" {
		return a
	}
	var uts unix.Utsname
	if unix.Uname(&uts) != nil {
		return ""
	}
	return unix.ByteSliceToString(uts.Machine[:])
}
