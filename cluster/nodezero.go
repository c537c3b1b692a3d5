package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"provision.internal/nomad"
)

// NodeZero sets up Nomad on the machine that the appliance itself runs on: node
// zero, which nothing installs from the network. What it needs is the system's
// package of nomad with its service; what it writes is remembered by checksum,
// so that it never replaces what somebody else wrote.
type NodeZero struct {
	Root string // "/" when empty
	// Command runs a program of the machine's; nil runs it.
	Command func(ctx context.Context, name string, args ...string) error
}

// marker remembers, beside the configuration, what provision has written there.
// Nomad reads files that end in .hcl or .json, and so not this one.
const marker = nomad.ConfigDir + "/.provision"

// made is the content of marker.
type made struct {
	// Files are the checksums that each file may have: two while it is replaced.
	Files   map[string][]string `json:"files"`
	Running string              `json:"running,omitempty"` // digest of the files that Nomad was last started with
}

func (z *NodeZero) path(name string) string { return filepath.Join(cmp.Or(z.Root, "/"), name) }

// Check reports, as ErrForeign, a configuration or state of Nomad that provision
// did not make, or that was changed since. It changes nothing.
func (z *NodeZero) Check() error {
	m, err := z.made()
	if err != nil {
		return err
	}
	if m.Files == nil {
		return z.foreign()
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if _, err := z.ours(name, m.Files[name]); err != nil {
			return err
		}
	}
	return nil
}

// Placed reports whether provision has set the machine up with this file.
func (z *NodeZero) Placed(name string) (bool, error) {
	m, err := z.made()
	return m.Running != "" && m.Files[name] != nil, err
}

// foreign looks for somebody's Nomad where provision has made none.
func (z *NodeZero) foreign() error {
	entries, err := os.ReadDir(z.path(nomad.ConfigDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".hcl" || ext == ".json" {
			return fmt.Errorf("%s/%s %w: move it away when this machine's Nomad may be set up anew (a package puts an example there), or take this machine out of cluster.servers",
				nomad.ConfigDir, e.Name(), ErrForeign)
		}
	}
	for _, name := range []string{"server/raft", "client/state.db"} {
		if _, err := os.Stat(z.path(filepath.Join(nomad.DataDir, name))); err == nil {
			return fmt.Errorf("the state in %s %w: to keep that cluster, leave cluster.servers out and name it in the nomad section; to begin anew, stop Nomad and move the folder away",
				nomad.DataDir, ErrForeign)
		}
	}
	return nil
}

// ours reads a file that provision has written. It is nil when it is gone, and
// ErrForeign is wrapped when it was changed.
func (z *NodeZero) ours(name string, sums []string) ([]byte, error) {
	b, err := os.ReadFile(z.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !slices.Contains(sums, checksum(b)):
		return nil, fmt.Errorf("%s: its content %w: put what you have changed into another file there, which Nomad reads too, and remove this one", name, ErrForeign)
	}
	return b, nil
}

// Setup brings the machine's Nomad to files, and (re)starts it when the
// configuration among them has changed since it was last started. Files outside
// the configuration's folder, as an introduction token, are read at a start only,
// and so are written before one only. changed tells whether Nomad was started.
//
// Each step may be cut off and is completed by the next Setup.
func (z *NodeZero) Setup(ctx context.Context, files []nomad.File) (changed bool, err error) {
	if err := z.Check(); err != nil {
		return false, err
	}
	m, err := z.made()
	if err != nil {
		return false, err
	}
	want := map[string]nomad.File{}
	var others []nomad.File
	for _, f := range files {
		if strings.HasPrefix(f.Path, nomad.ConfigDir+"/") {
			want[f.Path] = f
		} else {
			others = append(others, f)
		}
	}
	digest := digestOf(want)
	if m.Running == digest && z.complete(want) {
		return false, nil
	}
	service, err := z.service(ctx)
	if err != nil {
		return false, err
	}
	if err := z.place(m, want); err != nil {
		return false, err
	}
	for _, f := range others {
		if err := z.write(f); err != nil {
			return false, err
		}
	}
	if err := service.start(ctx); err != nil {
		return false, fmt.Errorf("start Nomad on this machine: %w", err)
	}
	return true, z.remember(made{Files: sums(want), Running: digest})
}

// complete reports whether every file is there; those that are were checked.
func (z *NodeZero) complete(want map[string]nomad.File) bool {
	for name := range want {
		if _, err := os.Stat(z.path(name)); err != nil {
			return false
		}
	}
	return true
}

// place writes want and removes what was wanted before. What is about to be
// written is remembered first: a crash in between leaves nothing foreign.
func (z *NodeZero) place(m made, want map[string]nomad.File) error {
	both := sums(want)
	for name, had := range m.Files {
		both[name] = append(both[name], had...)
	}
	if err := z.remember(made{Files: both}); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if err := z.write(want[name]); err != nil {
			return err
		}
	}
	for name := range m.Files {
		if _, still := want[name]; still {
			continue
		}
		if err := os.Remove(z.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (z *NodeZero) made() (m made, err error) {
	b, err := os.ReadFile(z.path(marker))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return m, fmt.Errorf("read what provision has set up on this machine, %s: %w", marker, err)
	}
	if m.Files == nil {
		m.Files = map[string][]string{}
	}
	return m, nil
}

func (z *NodeZero) remember(m made) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return z.write(nomad.File{Path: marker, Mode: 0o600, Content: string(b) + "\n"})
}

// write puts a file in place in one step, durably.
func (z *NodeZero) write(f nomad.File) (err error) {
	name := z.path(f.Path)
	dir := filepath.Dir(name)
	mode := fs.FileMode(0o755)
	if strings.HasPrefix(f.Path, nomad.DataDir+"/") {
		mode = 0o700 // Nomad's own
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	// A name that Nomad would not read, should power fail right now.
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", f.Path, errors.Join(err, os.Remove(tmp.Name())))
		}
	}()
	_, err = tmp.WriteString(f.Content)
	if err = errors.Join(err, tmp.Chmod(f.Mode.Perm()), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes what was added to dir durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func sums(files map[string]nomad.File) map[string][]string {
	all := make(map[string][]string, len(files))
	for name, f := range files {
		all[name] = []string{checksum([]byte(f.Content))}
	}
	return all
}

// digestOf tells one configuration from another.
func digestOf(files map[string]nomad.File) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "%s %o %s\n", name, files[name].Mode, checksum([]byte(files[name].Content)))
	}
	return checksum([]byte(b.String()))
}
