package images

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParseModule looks for panics, and for lines that would break
// modules.alias. Its seeds are modules of the forms that compilers make.
func FuzzParseModule(f *testing.F) {
	seeds, err := filepath.Glob("testdata/modules/*")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("seeds: %v, %v", seeds, err)
	}
	for _, name := range seeds {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseModule("kernel/fs/a-b.ko", b)
		if err != nil {
			return
		}
		if m.name != "a_b" {
			t.Errorf("name %q", m.name)
		}
		for _, a := range m.aliases {
			if a == "" || strings.ContainsAny(a, " \n\t") {
				t.Errorf("alias %q", a)
			}
		}
	})
}

func TestListed(t *testing.T) {
	list := []string{"drivers/virtio/", "drivers/net/virtio_net"}
	for file, want := range map[string]bool{
		"kernel/drivers/virtio/virtio.ko":           true,
		"kernel/drivers/virtio/sub/x.ko.xz":         true,
		"kernel/drivers/net/virtio_net.ko.zst":      true,
		"kernel/drivers/net/virtio_net_other.ko":    false,
		"kernel/drivers/net/ethernet/virtio_net.ko": false,
		"kernel/drivers/virtioish/virtio.ko":        false,
	} {
		if got := listed(file, list); got != want {
			t.Errorf("listed(%s) = %t, want %t", file, got, want)
		}
	}
}

func TestOrderSurvivesCircles(t *testing.T) {
	s := newModuleSet([]module{
		{name: "a", path: "a.ko", soft: []string{"b"}},
		{name: "b", path: "b.ko", depends: []string{"a", "c"}},
		{name: "c", path: "c.ko", depends: []string{"built_in"}, soft: []string{"nowhere"}},
	}, []string{"kernel/built-in.ko"})
	for _, name := range []string{"a", "b"} {
		order, err := s.order(name)
		if err != nil || len(order) != 3 || order[2].name != name {
			t.Errorf("order(%s) = %v, %v; want three modules, it last", name, order, err)
		}
	}
}
