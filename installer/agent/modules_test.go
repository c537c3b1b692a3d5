package agent

import (
	"bytes"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

const modulesDep = `kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio_pci.ko.zst: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/net/net_failover.ko:
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/gpu/drm/bochs.ko:
kernel/fs/ext4/ext4.ko: kernel/crypto/crc32c-generic.ko
kernel/crypto/crc32c-generic.ko:
`

const modulesAlias = `# Aliases extracted from modules themselves.
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias pci:v00001234d00001111sv*sd*bc*sc*i* bochs
alias virtio:d00000001v* virtio_net
alias virtio:d00000002v* virtio-blk
alias fs-ext4 ext4
alias crypto-crc32c crc32c_generic
`

func testModules(m *machine) (*Modules, *[]string) {
	m.put("/lib/modules/6.1/modules.dep", modulesDep)
	m.put("/lib/modules/6.1/modules.alias", modulesAlias)
	loaded, mu := &[]string{}, sync.Mutex{}
	return &Modules{Dir: m.root + "/lib/modules/6.1", Sys: m.root + "/sys", Load: func(file string) error {
		mu.Lock()
		defer mu.Unlock()
		*loaded = append(*loaded, path.Base(file))
		return nil
	}}, loaded
}

// The bus first, then what its driver brings to light; no graphics, whose driver
// may blank the console.
func TestColdplug(t *testing.T) {
	m := newMachine(t)
	modules, loaded := testModules(m)
	m.put("/sys/bus/pci/devices/0000:00:02.0/modalias", "pci:v00001234d00001111sv00001AF4sd00001100bc03sc80i00\n")
	m.put("/sys/bus/pci/devices/0000:00:03.0/modalias", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00\n")
	load := modules.Load
	modules.Load = func(file string) error {
		if strings.Contains(file, "virtio_pci") {
			m.put("/sys/bus/virtio/devices/virtio0/modalias", "virtio:d00000002v00001AF4\n")
			m.put("/sys/bus/virtio/devices/virtio1/modalias", "virtio:d00000001v00001AF4\n")
		}
		return load(file)
	}
	if err := modules.Coldplug(); err != nil {
		t.Fatal(err)
	}
	bus, rest := (*loaded)[:3], slices.Sorted(slices.Values((*loaded)[3:]))
	if d := cmp.Diff([]string{"virtio.ko", "virtio_ring.ko", "virtio_pci.ko.zst"}, bus); d != "" {
		t.Errorf("the bus's modules differ (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"net_failover.ko", "virtio_blk.ko", "virtio_net.ko"}, rest); d != "" {
		t.Errorf("the other modules differ (-want +got):\n%s", d)
	}

	// What is plugged in later is found later, and only that.
	m.put("/sys/bus/virtio/devices/virtio2/modalias", "fs-ext4\n")
	before := len(*loaded)
	if err := modules.Coldplug(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"crc32c-generic.ko", "ext4.ko"}, (*loaded)[before:]); d != "" {
		t.Errorf("the modules of the new device differ (-want +got):\n%s", d)
	}
}

// A driver that looks for its hardware for long keeps no other waiting.
func TestColdplugLoadsSideBySide(t *testing.T) {
	m := newMachine(t)
	modules, _ := testModules(m)
	var both sync.WaitGroup
	both.Add(2)
	modules.Load = func(file string) error {
		if strings.Contains(file, "virtio_net") || strings.Contains(file, "virtio_blk") {
			both.Done()
			met := make(chan struct{})
			go func() { both.Wait(); close(met) }()
			select {
			case <-met:
			case <-time.After(time.Minute):
				return errors.New("nothing else is loaded meanwhile")
			}
		}
		return nil
	}
	m.put("/sys/bus/virtio/devices/virtio0/modalias", "virtio:d00000001v00001AF4\n")
	m.put("/sys/bus/virtio/devices/virtio1/modalias", "virtio:d00000002v00001AF4\n")
	if err := modules.Coldplug(); err != nil {
		t.Error(err)
	}
}

// One driver that does not load keeps no other from it.
func TestColdplugGoesOn(t *testing.T) {
	m := newMachine(t)
	modules, loaded := testModules(m)
	load := modules.Load
	modules.Load = func(file string) error {
		if strings.Contains(file, "virtio_net") {
			return errors.New("exec format error")
		}
		return load(file)
	}
	m.put("/sys/bus/virtio/devices/virtio0/modalias", "virtio:d00000001v00001AF4\n")
	m.put("/sys/bus/virtio/devices/virtio1/modalias", "virtio:d00000002v00001AF4\n")
	if err := modules.Coldplug(); err == nil || !strings.Contains(err.Error(), "virtio_net") {
		t.Errorf("Coldplug = %v, want the module's name", err)
	}
	if !strings.Contains(strings.Join(*loaded, " "), "virtio_blk.ko") {
		t.Errorf("loaded were %q", *loaded)
	}
}

// A module that is only wished for may refuse: crc32c-intel does, on an old
// processor. One that is missed is named with the module that needs it.
func TestModuleWithoutItsNeeds(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		modules, _ := testModules(newMachine(t))
		modules.Load = func(file string) error {
			if strings.Contains(file, "crc32c") {
				return errors.New("no such device")
			}
			if refuses {
				return errors.New("unknown symbol")
			}
			return nil
		}
		err := modules.Probe("ext4")
		if refuses && (err == nil || !strings.Contains(err.Error(), "crc32c_generic: no such device") || !strings.Contains(err.Error(), "ext4: unknown symbol")) {
			t.Errorf("Probe = %v, want both faults", err)
		}
		if !refuses && err != nil {
			t.Errorf("Probe = %v of a module that was loaded", err)
		}
	}
}

// Patterns with a wildcard anywhere are found by the names that they match.
func TestFindByAlias(t *testing.T) {
	m := newMachine(t)
	m.put("/lib/modules/6.1/modules.dep", "")
	m.put("/lib/modules/6.1/modules.alias", `alias pci:v00008086d000015B7sv*sd*bc*sc*i* e1000e
alias pci:v00008086d*sv*sd*bc01sc06i01* intel-any
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias * everything
alias pci:v00008086d000015B7sv00000001sd* other
alias usb:v0BDAp8152d*dc*dsc*dp*icFFisc*ip*in* r8152
alias x plain
`)
	modules := &Modules{Dir: m.root + "/lib/modules/6.1"}
	if err := modules.index(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"pci:v00008086d000015B7sv00001028sd00000665bc02sc00i00": {"everything", "e1000e"},
		"pci:v00008086d0000A102sv00001028sd00000665bc01sc06i01": {"everything", "ahci", "intel_any"},
		"usb:v0BDAp8152d3000dc00dsc00dp00icFFiscFFip00in00":     {"everything", "r8152"},
		"x": {"everything", "plain"},
		"":  {"everything"},
	} {
		if d := cmp.Diff(want, modules.find(name)); d != "" {
			t.Errorf("find(%q) differs (-want +got):\n%s", name, d)
		}
	}
}

func TestProbeModule(t *testing.T) {
	m := newMachine(t)
	modules, loaded := testModules(m)
	for _, name := range []string{"fs-ext4", "ext4", "virtio-ring", "fs-unknown", "crypto-crc32c"} {
		if err := modules.Probe(name); err != nil {
			t.Errorf("Probe(%q) = %v", name, err)
		}
	}
	want := []string{"crc32c-generic.ko", "ext4.ko", "virtio.ko", "virtio_ring.ko"}
	if d := cmp.Diff(want, *loaded); d != "" {
		t.Errorf("modules differ (-want +got):\n%s", d)
	}
}

// A kernel with everything built in has no modules at all.
func TestNoModules(t *testing.T) {
	modules := &Modules{Dir: t.TempDir(), Sys: t.TempDir(), Load: func(string) error { return errors.New("called") }}
	if err := modules.Coldplug(); err != nil {
		t.Errorf("Coldplug = %v", err)
	}
}

func TestUnpackModule(t *testing.T) {
	const content = "\x7fELF and so on"
	pack := func(w io.WriteCloser, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var zst bytes.Buffer
	zw, err := zstd.NewWriter(&zst)
	pack(zw, err)
	if got, err := unpackModule("a.ko.zst", &zst); err != nil || string(got) != content {
		t.Errorf("unpackModule = %q, %v", got, err)
	}
	if _, err := unpackModule("a.ko.zst", strings.NewReader("not packed")); err == nil {
		t.Error("unpackModule of something else succeeded")
	}
	if _, err := unpackModule("a.ko.xz", nil); err == nil || !strings.Contains(err.Error(), "unknown compression") {
		t.Errorf("unpackModule of xz = %v", err)
	}
}
