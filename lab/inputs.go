package lab

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// Inputs are what the appliance is given in place of Void's mirror.
type Inputs struct {
	Dir    string // holds void/ (the repositories), keys/ and the ROOTFS tarball
	Rootfs string
}

// Void is the folder with the repositories, laid out as on Void's servers.
func (in *Inputs) Void() string { return filepath.Join(in.Dir, "void") }

// Sources are the programs that the stand-in repository cannot take from Debian.
type Sources struct {
	XBPS    string // static program that acts by the name it is called by, or the root of an installed XBPS
	Nomad   string // static program
	Ansible string // static program: ansible-playbook
}

// MakeInputs makes the inputs below base, or finds them made from the same
// packages and programs by the same code. Packages come from Debian's mirror;
// nothing else is fetched. Inputs that nobody uses any more are removed.
func MakeInputs(ctx context.Context, base string, src Sources, log *slog.Logger) (*Inputs, error) {
	base, err := filepath.Abs(base) // the appliance counts relative names from its own configuration
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(base, "inputs.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	kernelName, err := kernelDeb(ctx)
	if err != nil {
		return nil, err
	}
	d, err := fetchDebs(ctx, filepath.Join(base, "debs"), append(debsWanted(), kernelName))
	if err != nil {
		return nil, err
	}
	key, err := inputsKey(d, src)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(base, inputsPrefix+key)
	in := &Inputs{Dir: dir, Rootfs: filepath.Join(dir, rootfsName)}
	if exists(dir) {
		return in, touch(dir)
	}
	log.Info("making the stand-in for Void's repositories", "dir", dir)
	scratch, err := os.MkdirTemp(base, scratchPrefix)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	signer, err := signingKey(filepath.Join(base, "signing.pem"))
	if err != nil {
		return nil, err
	}
	out := filepath.Join(scratch, "out")
	m := maker{debs: d, sources: src, kernelDeb: kernelName, scratch: scratch, out: out, signer: signer}
	if err := m.make(ctx); err != nil {
		return nil, fmt.Errorf("make the stand-in repositories: %w", err)
	}
	if err := os.Chmod(out, 0o755); err != nil {
		return nil, err
	}
	if err := os.Rename(out, dir); err != nil {
		return nil, err
	}
	return in, prune(base)
}

// lock holds a file so that two labs do not make the same thing at once.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return func() { f.Close() }, nil
}
