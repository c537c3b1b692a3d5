package agent

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const modulesDep = `kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio_pci.ko.zst: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
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
	loaded := &[]string{}
	return &Modules{Dir: m.root + "/lib/modules/6.1", Sys: m.root + "/sys", Load: func(file string) error {
		*loaded = append(*loaded, path.Base(file))
		return nil
	}}, loaded
}

// The bus first, then what its driver brings to light, the network before
// disks; no graphics, whose driver may blank the console.
func TestColdplug(t *testing.T) {
	m := newMachine(t)
	modules, loaded := testModules(m)
	m.put("/sys/bus/pci/devices/0000:00:02.0/modalias", "pci:v00001234d00001111sv00001AF4sd00001100bc03sc80i00\n")
	m.put("/sys/bus/pci/devices/0000:00:03.0/modalias", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00\n")
	rounds := 0
	err := modules.Coldplug(func() {
		if rounds++; rounds == 1 {
			m.put("/sys/bus/virtio/devices/virtio0/modalias", "virtio:d00000002v00001AF4\n")
			m.put("/sys/bus/virtio/devices/virtio1/modalias", "virtio:d00000001v00001AF4\n")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"virtio.ko", "virtio_ring.ko", "virtio_pci.ko.zst", "net_failover.ko", "virtio_net.ko.xz", "virtio_blk.ko"}
	if d := cmp.Diff(want, *loaded); d != "" {
		t.Errorf("modules differ (-want +got):\n%s", d)
	}
}

// One driver that does not load keeps no other from it.
func TestColdplugGoesOn(t *testing.T) {
	m := newMachine(t)
	modules, loaded := testModules(m)
	load := modules.Load
	modules.Load = func(file string) error {
		if strings.Contains(file, "net_failover") {
			return errors.New("exec format error")
		}
		return load(file)
	}
	m.put("/sys/bus/virtio/devices/virtio0/modalias", "virtio:d00000001v00001AF4\n")
	m.put("/sys/bus/virtio/devices/virtio1/modalias", "virtio:d00000002v00001AF4\n")
	if err := modules.Coldplug(func() {}); err == nil || !strings.Contains(err.Error(), "net_failover") {
		t.Errorf("Coldplug = %v, want the module's name", err)
	}
	if !strings.Contains(strings.Join(*loaded, " "), "virtio_blk.ko") {
		t.Errorf("loaded were %q", *loaded)
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
	if err := modules.Coldplug(func() {}); err != nil {
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
	var zst, xzs, gz bytes.Buffer
	zw, err := zstd.NewWriter(&zst)
	pack(zw, err)
	xw, err := xz.NewWriter(&xzs)
	pack(xw, err)
	pack(gzip.NewWriter(&gz), nil)
	for name, b := range map[string]*bytes.Buffer{"a.ko.zst": &zst, "a.ko.xz": &xzs, "a.ko.gz": &gz} {
		if got, err := unpackModule(name, b); err != nil || string(got) != content {
			t.Errorf("unpackModule(%s) = %q, %v", name, got, err)
		}
		if _, err := unpackModule(name, strings.NewReader("not packed")); err == nil {
			t.Errorf("unpackModule(%s) of something else succeeded", name)
		}
	}
	if _, err := unpackModule("a.ko.lz4", nil); err == nil || !strings.Contains(err.Error(), "unknown compression") {
		t.Errorf("unpackModule of lz4 = %v", err)
	}
}
