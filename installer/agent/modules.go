package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Modules loads kernel modules. The small initrd has no kmod, and neither a
// process nor a shell for each device that the kernel has found.
type Modules struct {
	Dir  string // /lib/modules/RELEASE
	Sys  string // /sys
	Load func(path string) error

	once    sync.Once
	err     error
	deps    map[string][]string // module → paths: itself, then what it needs, nearest last
	aliases map[string][]alias  // by what stands before the first colon ("pci"), or the whole alias
	loaded  map[string]bool
}

type alias struct{ pattern, module string }

// newModules returns the loader for the running kernel.
func newModules(root string) (*Modules, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("ask for the kernel's release: %w", err)
	}
	release := unix.ByteSliceToString(uts.Release[:])
	return &Modules{Dir: filepath.Join(root, "lib/modules", release), Sys: filepath.Join(root, "sys"), Load: loadModule}, nil
}

// index reads modules.dep and modules.alias once. A kernel without modules is fine.
func (m *Modules) index() error {
	m.once.Do(func() {
		m.deps, m.aliases, m.loaded = map[string][]string{}, map[string][]alias{}, map[string]bool{}
		err := eachFileLine(filepath.Join(m.Dir, "modules.dep"), func(line string) {
			file, needs, ok := strings.Cut(line, ":")
			if ok {
				m.deps[moduleName(file)] = append([]string{file}, strings.Fields(needs)...)
			}
		})
		if err == nil {
			err = eachFileLine(filepath.Join(m.Dir, "modules.alias"), func(line string) {
				f := strings.Fields(line)
				if len(f) == 3 && f[0] == "alias" {
					bus, _, _ := strings.Cut(f[1], ":")
					m.aliases[bus] = append(m.aliases[bus], alias{f[1], f[2]})
				}
			})
		}
		if !errors.Is(err, fs.ErrNotExist) {
			m.err = err
		}
	})
	return m.err
}

// moduleName is the name by which the kernel knows the file: dashes and
// underscores are the same to it.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// find returns the modules for a name or an alias.
func (m *Modules) find(name string) []string {
	if plain := strings.ReplaceAll(name, "-", "_"); m.deps[plain] != nil {
		return []string{plain}
	}
	bus, _, _ := strings.Cut(name, ":")
	var found []string
	for _, a := range m.aliases[bus] {
		// Most patterns differ before their first wildcard: look there first.
		fixed := strings.IndexAny(a.pattern, "*?[")
		if fixed >= 0 && !strings.HasPrefix(name, a.pattern[:fixed]) {
			continue
		}
		if ok, err := path.Match(a.pattern, name); err == nil && ok {
			found = append(found, strings.ReplaceAll(a.module, "-", "_"))
		}
	}
	return found
}

// Probe loads what a name or an alias stands for, with what it needs. Nothing
// is an error that leaves other modules usable: all faults are joined.
func (m *Modules) Probe(name string) error {
	if err := m.index(); err != nil {
		return err
	}
	var faults []error
	for _, module := range m.find(name) {
		faults = append(faults, m.insert(module))
	}
	return errors.Join(faults...)
}

func (m *Modules) insert(module string) error {
	if m.loaded[module] {
		return nil
	}
	m.loaded[module] = true
	files := slices.Clone(m.deps[module])
	slices.Reverse(files) // modules.dep lists what must be there first last
	for _, file := range files {
		if name := moduleName(file); name != module && m.loaded[name] {
			continue
		}
		m.loaded[moduleName(file)] = true
		if err := m.Load(filepath.Join(m.Dir, file)); err != nil {
			return fmt.Errorf("load the module %s: %w", moduleName(file), err)
		}
	}
	return nil
}

// notNeeded are drivers that an install has no use for, and that may spoil its
// console or take long.
var notNeeded = []string{"/gpu/", "/sound/", "/media/", "/video/", "/bluetooth/", "/net/wireless/", "/iio/", "/leds/", "/thermal/"}

// Coldplug loads drivers for every device that the kernel has found, the
// network's before the rest, again and again until nothing new appears: a bus's
// driver brings up more devices. It calls found after each round.
func (m *Modules) Coldplug(found func()) error {
	if err := m.index(); err != nil {
		return err
	}
	var faults []error
	done := map[string]bool{}
	for {
		var fresh []string
		for _, modalias := range m.devices() {
			if !done[modalias] {
				done[modalias] = true
				fresh = append(fresh, modalias)
			}
		}
		if len(fresh) == 0 {
			return errors.Join(faults...)
		}
		var modules []string
		for _, modalias := range fresh {
			modules = append(modules, m.find(modalias)...)
		}
		slices.SortStableFunc(modules, func(a, b string) int { return m.rank(a) - m.rank(b) })
		for _, module := range modules {
			if m.rank(module) < last {
				faults = append(faults, m.insert(module))
			}
		}
		found()
	}
}

const last = 9

// rank says how early a module is wanted: buses of virtual machines, on which
// everything else sits, then network cards.
func (m *Modules) rank(module string) int {
	if m.deps[module] == nil {
		return last // built in, or not in this initrd
	}
	file := m.deps[module][0]
	for _, s := range notNeeded {
		if strings.Contains(file, s) {
			return last
		}
	}
	switch {
	case strings.Contains(file, "/virtio/"):
		return 0
	case strings.Contains(file, "/drivers/net/"):
		return 1
	}
	return 2
}

// devices lists the aliases by which devices ask for drivers.
func (m *Modules) devices() []string {
	files, _ := filepath.Glob(filepath.Join(m.Sys, "bus/*/devices/*/modalias")) // the pattern is well-formed
	var all []string
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			if s := string(bytes.TrimSpace(b)); s != "" {
				all = append(all, s)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func eachFileLine(name string, f func(string)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	scan := bufio.NewScanner(file)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		f(scan.Text())
	}
	return scan.Err()
}
