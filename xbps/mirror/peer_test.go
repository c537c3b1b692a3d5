package mirror_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"provision.internal/xbps"
)

// Real XBPS, where LAB_XBPS names an installed tree of it, installs through the mirror from a snapshot, and finishes
// a download that broke.
func TestRealXBPSInstallsThroughTheMirror(t *testing.T) {
	tree := os.Getenv("LAB_XBPS")
	if tree == "" {
		t.Skip("LAB_XBPS does not name an installed XBPS tree")
	}
	bin := filepath.Join(tree, "usr/bin")
	if _, err := os.Stat(bin); err != nil {
		bin = filepath.Join(tree, "bin")
	}
	u := newUpstream(t)
	dir := t.TempDir()
	b := &xbps.Builder{Dir: dir, Arch: "x86_64", Key: testKey(), SignedBy: "a test"}
	content := make([]byte, 3<<20)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	for _, spec := range []xbps.Spec{
		{Package: xbps.Package{Pkgver: "lib-1.0_1", Arch: "noarch", Desc: "a library"}, Files: []xbps.File{xbps.Regular("usr/lib/lib", 0o644, content)}},
		{Package: xbps.Package{Pkgver: "app-1.0_1", Arch: "x86_64", Desc: "a program", Depends: []string{"lib>=1.0"}}, Files: []xbps.File{xbps.Regular("usr/bin/app", 0o755, []byte("app"))}},
	} {
		if _, err := b.Add(spec); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		u.files["current/"+e.Name()], u.dates["current/"+e.Name()] = text, epoch
	}
	s := newSite(t, u)
	if _, err := s.Freeze(t.Context(), "golden"); err != nil {
		t.Fatal(err)
	}
	cuts := 0
	u.misbehave(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if isPackage(r) && cuts < 2 {
			cuts++
			if r.Header.Get("Range") == "" {
				cut(w, body, 0, len(body)/2)
			}
		}
		return false
	})
	root, cache := t.TempDir(), t.TempDir()
	name, key, err := b.PublicKey().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{
		filepath.Join(root, "var/db/xbps/keys", name): key,
		// Half of the library, as a machine has it that lost its power.
		filepath.Join(cache, "lib-1.0_1.noarch.xbps.part"): u.files["current/lib-1.0_1.noarch.xbps"][:200],
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	install := func() {
		cmd := exec.Command(filepath.Join(bin, "xbps-install"), "-Syi", "-R", s.front.URL+"/@golden/current", "-r", root, "-c", cache, "app")
		cmd.Env = append(os.Environ(), "XBPS_ARCH=x86_64")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatalf("xbps-install: %v", err)
		}
	}
	install()
	install() // with the index that it has
	if got, err := os.ReadFile(filepath.Join(root, "usr/lib/lib")); err != nil || string(got) != string(content) {
		t.Errorf("the library has %d bytes, %v", len(got), err)
	}
	for _, file := range []string{"current/lib-1.0_1.noarch.xbps", "current/x86_64-repodata"} {
		if n := u.times(file); n > 1 {
			t.Errorf("upstream was asked %d times for %s", n, file)
		}
	}
}
