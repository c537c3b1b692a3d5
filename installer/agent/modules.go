package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
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
	deps    map[string]string  // module → its line of modules.dep: itself, a colon, what it needs, nearest last
	aliases map[string][]alias // by the first bytes of the pattern, see keyOf

	mu      sync.Mutex
	loading map[string]func() error // module → what loads it once, and waits for that
	met     map[string]bool         // devices and their aliases that Coldplug has dealt with
	asked   map[string]bool         // modules that it has found for them
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

// index reads modules.dep and modules.alias once. A kernel without modules is
// fine. Lines are many and few of them are ever needed: they are taken apart
// when they are.
func (m *Modules) index() error {
	m.once.Do(func() {
		m.deps, m.aliases = map[string]string{}, map[string][]alias{}
		m.loading, m.met, m.asked = map[string]func() error{}, map[string]bool{}, map[string]bool{}
		dep, err := os.ReadFile(filepath.Join(m.Dir, "modules.dep"))
		for line := range strings.Lines(string(dep)) {
			if file, _, ok := strings.Cut(line, ":"); ok {
				m.deps[moduleName(file)] = strings.TrimSuffix(line, "\n")
			}
		}
		var text []byte
		if err == nil {
			text, err = os.ReadFile(filepath.Join(m.Dir, "modules.alias"))
		}
		for line := range strings.Lines(string(text)) {
			rest, isAlias := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "alias ")
			if pattern, module, ok := strings.Cut(rest, " "); ok && isAlias {
				key := keyOf(pattern)
				m.aliases[key] = append(m.aliases[key], alias{pattern, module})
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			m.err = err
		}
	})
	return m.err
}

// keyLength is that of "pci:v00008086d000015B7": a bus, a vendor and a device.
const keyLength = 22

// keyOf is what a name that the pattern matches begins with, at most keyLength
// of it.
func keyOf(pattern string) string {
	fixed := strings.IndexAny(pattern, "*?[")
	if fixed < 0 {
		fixed = len(pattern)
	}
	return pattern[:min(fixed, keyLength)]
}

// moduleName is the name by which the kernel knows the file: dashes and
// underscores are the same to it.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// find returns the modules for a name or an alias.
func (m *Modules) find(name string) []string {
	if plain := strings.ReplaceAll(name, "-", "_"); m.deps[plain] != "" {
		return []string{plain}
	}
	var found []string
	for n := range min(len(name), keyLength) + 1 {
		for _, a := range m.aliases[name[:n]] {
			if ok, err := path.Match(a.pattern, name); err == nil && ok {
				found = append(found, strings.ReplaceAll(a.module, "-", "_"))
			}
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

// insert loads a module after what it needs. Some needs are mere wishes, and
// refuse where they do not fit (crc32c-intel on an old processor): so their
// faults count only when the module does not load either.
func (m *Modules) insert(module string) error {
	file, needs, _ := strings.Cut(m.deps[module], ":")
	files := append([]string{file}, strings.Fields(needs)...)
	slices.Reverse(files) // modules.dep lists what must be there first last
	var faults []error
	for _, file := range files {
		err := m.load(file)
		if err != nil {
			faults = append(faults, fmt.Errorf("load the module %s: %w", moduleName(file), err))
		} else if moduleName(file) == module {
			return nil
		}
	}
	return errors.Join(faults...)
}

// load loads one file, once, whoever asks for it first.
func (m *Modules) load(file string) error {
	name := moduleName(file)
	m.mu.Lock()
	load, ok := m.loading[name]
	if !ok {
		load = sync.OnceValue(func() error { return m.Load(filepath.Join(m.Dir, file)) })
		m.loading[name] = load
	}
	m.mu.Unlock()
	return load()
}

// Some drivers look for their hardware for seconds before their module counts
// as loaded: others are loaded meanwhile, this many at most.
const mostAtOnce = 8

// Coldplug loads drivers for every device that the kernel has found, the
// network's before the rest, until nothing new appears: a bus's driver brings
// up more devices. When it is called again it cares for what came since.
func (m *Modules) Coldplug() error {
	if err := m.index(); err != nil {
		return err
	}
	var (
		faults  []error
		waiting []string // modules, most wanted first
		running int
		done    = make(chan error, mostAtOnce)
	)
	start := func() {
		for ; len(waiting) > 0 && running < min(max(2, runtime.NumCPU()), mostAtOnce); running++ {
			module := waiting[0]
			waiting = waiting[1:]
			go func() { done <- m.insert(module) }()
		}
	}
	for {
		// Looking at all devices takes a while: what is found first is loaded
		// meanwhile.
		for _, bus := range m.buses() {
			waiting = append(waiting, m.wanted(bus)...)
			slices.SortStableFunc(waiting, func(a, b string) int { return m.rank(a) - m.rank(b) })
			start()
		}
		if running == 0 {
			return errors.Join(faults...)
		}
		faults = append(faults, <-done)
		running--
		start()
	}
}

// notNeeded are drivers that an install has no use for, and that may spoil its
// console or take long.
var notNeeded = []string{"/gpu/", "/sound/", "/media/", "/video/", "/bluetooth/", "/net/wireless/", "/iio/", "/leds/", "/thermal/"}

const last = 9

// rank says how early a module is wanted: buses of virtual machines, on which
// everything else sits, then network cards.
func (m *Modules) rank(module string) int {
	file, _, _ := strings.Cut(m.deps[module], ":")
	if file == "" {
		return last // built in, or not in this initrd
	}
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

// networkBuses are those on which network cards are, the innermost first.
var networkBuses = []string{"virtio", "vmbus", "xen", "pci"}

// buses lists the kernel's buses, the network's first.
func (m *Modules) buses() []string {
	names := slices.Clone(networkBuses)
	for _, name := range list(filepath.Join(m.Sys, "bus")) {
		if !slices.Contains(networkBuses, name) {
			names = append(names, name)
		}
	}
	return names
}

// wanted returns the modules for devices of a bus that were not there before.
func (m *Modules) wanted(bus string) []string {
	dir := filepath.Join(m.Sys, "bus", bus, "devices")
	var modules []string
	for _, device := range list(dir) {
		at := dir + "/" + device
		if m.met[at] {
			continue
		}
		m.met[at] = true
		text, err := os.ReadFile(at + "/modalias")
		name := strings.TrimSpace(string(text))
		if err != nil || name == "" || m.met[name] {
			continue // it has no such attribute, or is gone, or is one of many
		}
		m.met[name] = true
		for _, module := range m.find(name) {
			if !m.asked[module] && m.rank(module) < last {
				m.asked[module] = true
				modules = append(modules, module)
			}
		}
	}
	return modules
}

// list returns the names in a directory, in their order; none when there is no
// such directory.
func list(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1) // what could be read counts
	slices.Sort(names)
	return names
}
