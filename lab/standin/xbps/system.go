package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"howett.net/plist"

	"provision.internal/xbps"
)

const (
	stateUnpacked  = "unpacked"
	stateInstalled = "installed"
)

// entry is a package in the package database.
type entry struct {
	xbps.Package
	State          string `plist:"state"`
	Automatic      bool   `plist:"automatic-install,omitempty"`
	InstallDate    string `plist:"install-date,omitempty"`
	MetafileSHA256 string `plist:"metafile-sha256,omitempty"`
	Repository     string `plist:"repository,omitempty"`
	InstallScript  []byte `plist:"install-script,omitempty"`
	RemoveScript   []byte `plist:"remove-script,omitempty"`
}

// system is one root folder with its package database.
type system struct {
	root     string
	db       string // ROOT/var/db/xbps
	lock     *os.File
	packages map[string]*entry
}

func openSystem(root string) (*system, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	s := &system{root: root, db: filepath.Join(root, "var/db/xbps"), packages: map[string]*entry{}}
	if err := os.MkdirAll(s.db, 0o755); err != nil {
		return nil, err
	}
	if s.lock, err = os.OpenFile(filepath.Join(s.db, "lock"), os.O_CREATE|os.O_RDWR, 0o664); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		s.lock.Close()
		return nil, fmt.Errorf("the package database of %s is in use by another process", root)
	}
	if err := s.load(); err != nil {
		s.lock.Close()
		return nil, err
	}
	return s, nil
}

func (s *system) close() { s.lock.Close() }

func (s *system) file() string { return filepath.Join(s.db, "pkgdb-0.38.plist") }

func (s *system) load() error {
	b, err := os.ReadFile(s.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := plist.Unmarshal(b, &s.packages); err != nil {
		return fmt.Errorf("%s: %w", s.file(), err)
	}
	// _XBPS_ALTERNATIVES_ lies among the packages.
	maps.DeleteFunc(s.packages, func(_ string, e *entry) bool { return e.Pkgver == "" })
	return nil
}

func (s *system) save() error {
	all := map[string]any{"_XBPS_ALTERNATIVES_": map[string]any{}}
	for name, e := range s.packages {
		all[name] = *e
	}
	b, err := xbps.MarshalPlist(all)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.file()+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(s.file()+".new", s.file())
}

func (s *system) names() []string { return slices.Sorted(maps.Keys(s.packages)) }

// installed lists the packages that count as present.
func (s *system) installed() []xbps.Package {
	var all []xbps.Package
	for _, name := range s.names() {
		all = append(all, s.packages[name].Package)
	}
	return all
}

func (s *system) list(w io.Writer) {
	width := 0
	for _, e := range s.packages {
		width = max(width, len(e.Pkgver))
	}
	for _, name := range s.names() {
		e := s.packages[name]
		state := "uu"
		if e.State == stateInstalled {
			state = "ii"
		}
		fmt.Fprintf(w, "%s %-*s %s\n", state, width, e.Pkgver, e.Desc)
	}
}

func (e *entry) show(w io.Writer) {
	for _, line := range []struct{ key, value string }{
		{"architecture", e.Arch}, {"filename-sha256", e.SHA256}, {"install-date", e.InstallDate},
		{"pkgname", e.Name()}, {"pkgver", e.Pkgver}, {"repository", e.Repository}, {"short_desc", e.Desc}, {"state", e.State},
	} {
		fmt.Fprintf(w, "%s: %s\n", line.key, line.value)
	}
	if len(e.Depends) > 0 {
		fmt.Fprintf(w, "run_depends:\n\t%s\n", strings.Join(e.Depends, "\n\t"))
	}
}

func (s *system) listFiles(w io.Writer, e *entry) error {
	b, err := os.ReadFile(s.metafile(e.Name()))
	if err != nil {
		return err
	}
	var list xbps.FileList
	if _, err := plist.Unmarshal(b, &list); err != nil {
		return err
	}
	for _, f := range slices.Concat(list.ConfFiles, list.Files, list.Links) {
		if f.Target != "" {
			fmt.Fprintf(w, "%s -> %s\n", f.File, f.Target)
		} else {
			fmt.Fprintln(w, f.File)
		}
	}
	return nil
}

func (s *system) metafile(name string) string {
	return filepath.Join(s.db, "."+name+"-files.plist")
}
