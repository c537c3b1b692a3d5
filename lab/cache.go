package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"provision.internal/xbps"
)

// inputsKey tells one set of inputs from another: by the packages of Debian, the
// programs, and the code that makes inputs of them, which is this very executable.
func inputsKey(d *debs, src Sources) (string, error) {
	h := sha256.New()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	for _, program := range []string{self, src.XBPS, src.Nomad, src.Ansible} {
		if err := hashProgram(h, program); err != nil {
			return "", err
		}
	}
	var files []string
	for _, f := range d.file {
		files = append(files, filepath.Base(f))
	}
	slices.Sort(files)
	fmt.Fprintln(h, files)
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// hashProgram writes what decides about a program to h: its content, or the names,
// modes and contents of an installed XBPS.
func hashProgram(h io.Writer, name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("%w: make build makes it", err)
	}
	files := tree{}
	if info.IsDir() {
		if files, err = installedXBPS(name); err != nil {
			return err
		}
	} else {
		files.add(xbps.File{Path: "program", Size: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(name) }})
	}
	for _, f := range files.files() {
		fmt.Fprintf(h, "%q %s %d %q\n", f.Path, f.Mode, f.Size, f.Target)
		if f.Open == nil {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		_, err = io.Copy(h, r)
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}

// Names of inputs below the racks' common folder, and of the link by which a
// rack says which of them it uses.
const (
	inputsPrefix  = "inputs-"
	inputsLink    = "inputs"
	scratchPrefix = ".inputs-" // while they are made
)

// keptInputs is how many sets of inputs stay without a rack that uses them: those
// of the stand-in, of real programs and of the tests take turns.
const keptInputs = 3

// use keeps the inputs from being removed while the rack's folder is there.
func (r *Rack) use(in *Inputs) error {
	link := r.path(inputsLink)
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(in.Dir, link)
}

// touch makes dir the last used of all inputs.
func touch(dir string) error {
	now := time.Now()
	return os.Chtimes(dir, now, now)
}

// prune removes the inputs below base that no rack uses, but for the last used,
// and what was left of a making that was killed. Whoever calls it holds the lock of
// base and has finished with its own.
func prune(base string) error {
	used := map[string]bool{}
	links, err := filepath.Glob(filepath.Join(base, "*", inputsLink))
	if err != nil {
		return err
	}
	for _, link := range links {
		if dir, err := os.Readlink(link); err == nil { // else the rack was just removed
			used[filepath.Base(dir)] = true
		}
	}
	all, err := filepath.Glob(filepath.Join(base, inputsPrefix+"*"))
	if err != nil {
		return err
	}
	age := map[string]time.Time{}
	for _, dir := range all {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		age[dir] = info.ModTime()
	}
	slices.SortFunc(all, func(a, b string) int { return age[b].Compare(age[a]) })
	var faults []error
	for _, dir := range all[min(len(all), keptInputs):] {
		if !used[filepath.Base(dir)] {
			faults = append(faults, os.RemoveAll(dir))
		}
	}
	left, err := filepath.Glob(filepath.Join(base, scratchPrefix+"*"))
	faults = append(faults, err)
	for _, dir := range left {
		faults = append(faults, os.RemoveAll(dir))
	}
	return errors.Join(faults...)
}
