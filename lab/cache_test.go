package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The inputs are made anew when a file of the tree that LAB_XBPS names changes,
// and not when the same tree is in another place.
func TestInputsFollowTheirPrograms(t *testing.T) {
	key := func(root string) string {
		t.Helper()
		k, err := inputsKey(&debs{}, Sources{XBPS: root, Nomad: filepath.Join(root, "usr/bin/xbps-install"), Ansible: filepath.Join(root, "usr/bin/xbps-install")})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	plant := func(content string) string {
		t.Helper()
		root := t.TempDir()
		for _, name := range []string{"usr/bin/xbps-install", "usr/lib/x86_64-linux-gnu/libxbps.so.6"} {
			writeTest(t, filepath.Join(root, name), content)
		}
		return root
	}
	root := plant("one")
	first := key(root)
	if got := key(plant("one")); got != first {
		t.Errorf("the key of the same tree elsewhere is %s, then %s", first, got)
	}
	writeTest(t, filepath.Join(root, "usr/lib/x86_64-linux-gnu/libxbps.so.6"), "two")
	if got := key(root); got == first {
		t.Error("the key stays as it was when a library has changed")
	}
	if err := os.Symlink("xbps-install", filepath.Join(root, "usr/bin/xbps-fetch")); err != nil {
		t.Fatal(err)
	}
	if got := key(root); got == first {
		t.Error("the key stays as it was with a new link")
	}
}

func TestInputsNeedAnInstalledXBPS(t *testing.T) {
	_, err := inputsKey(&debs{}, Sources{XBPS: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "usr/bin/xbps-install is missing: LAB_XBPS") {
		t.Errorf("inputsKey = %v, want what LAB_XBPS must have", err)
	}
}

// Of the inputs stay those that a rack uses and the last ones used.
func TestOldInputsAreRemoved(t *testing.T) {
	base := t.TempDir()
	now := time.Now()
	for i := range 6 {
		dir := filepath.Join(base, fmt.Sprintf("%s%d", inputsPrefix, i))
		writeTest(t, filepath.Join(dir, "keys/key"), "")
		if err := os.Chtimes(dir, now, now.Add(-time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	writeTest(t, filepath.Join(base, scratchPrefix+"killed", "out"), "")
	r := &Rack{Name: "demo", Dir: filepath.Join(base, "demo")}
	if err := os.Mkdir(r.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"3", "4"} { // what it uses now counts
		if err := r.use(&Inputs{Dir: filepath.Join(base, inputsPrefix+name)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := touch(filepath.Join(base, inputsPrefix+"5")); err != nil {
		t.Fatal(err)
	}
	if err := prune(base); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"demo", "inputs-0", "inputs-1", "inputs-4", "inputs-5"}; !slices.Equal(names, want) {
		t.Errorf("%v stay, want %v", names, want)
	}
}

func writeTest(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
