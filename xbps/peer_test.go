package xbps_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"provision.internal/xbps"
)

// realXBPS runs a program of the XBPS tree that LAB_XBPS names.
func realXBPS(t *testing.T) func(program string, args ...string) (string, int) {
	t.Helper()
	dir := os.Getenv("LAB_XBPS")
	if dir == "" {
		t.Skip("LAB_XBPS does not name an installed XBPS tree")
	}
	bin := filepath.Join(dir, "usr/bin")
	if _, err := os.Stat(bin); err != nil {
		bin = filepath.Join(dir, "bin")
	}
	return func(program string, args ...string) (string, int) {
		cmd := exec.Command(filepath.Join(bin, program), args...)
		cmd.Env = append(os.Environ(), "XBPS_ARCH=x86_64")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
}

// seed puts the key of b among those that the system in root trusts.
func seed(t *testing.T, root string, b *xbps.Builder) {
	t.Helper()
	name, content, err := b.PublicKey().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(root, "var/db/xbps/keys")
	if err := os.MkdirAll(keys, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(keys, name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRealInstallAcceptsWhatBuilderMakes(t *testing.T) {
	run := realXBPS(t)
	b := builder(t)
	bar := xbps.Spec{Package: xbps.Package{Pkgver: "bar-1.0_1", Arch: "noarch", Desc: "Another's \"bar\" <&>"}}
	for _, s := range []xbps.Spec{sample(), bar} {
		if _, err := b.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(b.Dir)))
	defer server.Close()

	root := t.TempDir()
	install := []string{"-Sy", "-R", server.URL, "-r", root, "-C", t.TempDir(), "foo"}
	if out, code := run("xbps-install", install...); code == 0 {
		t.Errorf("it installed without the key:\n%s", out)
	}
	seed(t, root, b)
	out, code := run("xbps-install", install...)
	if code != 0 {
		t.Fatalf("xbps-install: exit %d\n%s", code, out)
	}
	t.Log(out)
	for path, want := range map[string]string{"etc/foo.conf": "a = b\n", "usr/bin/hard": "hello\n", "usr/bin/link": "hello\n"} {
		if got, err := os.ReadFile(filepath.Join(root, path)); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", path, got, err, want)
		}
	}
	if info, err := os.Stat(filepath.Join(root, "var/empty")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("var/empty: %v, %v; want mode 0700", info, err)
	}
	if out, code := run("xbps-pkgdb", "-a", "-r", root); code != 0 {
		t.Errorf("xbps-pkgdb finds the installed packages wrong: exit %d\n%s", code, out)
	}
}

func TestReadersReadRealPackages(t *testing.T) {
	run := realXBPS(t)
	tree, dir := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(tree, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "usr/bin/foo"), []byte("hello\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for i, compression := range []string{"none", "gzip", "bzip2", "lz4", "xz", "zstd"} {
		pkgver := "foo-" + compression + "-1.0_" + strconv.Itoa(i)
		if out, code := run("xbps-create", "-q", "-A", "x86_64", "-n", pkgver, "-s", "a sample", "--compression", compression, tree); code != 0 {
			t.Fatalf("xbps-create: exit %d\n%s", code, out)
		}
		file := filepath.Join(dir, pkgver+".x86_64.xbps")
		if out, code := run("xbps-rindex", "--compression", compression, "-a", file); code != 0 {
			t.Fatalf("xbps-rindex: exit %d\n%s", code, out)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		a, err := xbps.OpenArchive(f)
		if err != nil {
			t.Fatalf("OpenArchive of %s: %v", compression, err)
		}
		if got, err := a.Next(); err != nil || got.Path != "usr/bin/foo" || a.Props.Pkgver != pkgver {
			t.Errorf("%s: first file %v, %v; pkgver %s", compression, got, err, a.Props.Pkgver)
		}
		data, err := os.Open(filepath.Join(dir, "x86_64-repodata"))
		if err != nil {
			t.Fatal(err)
		}
		defer data.Close()
		x, err := xbps.ReadIndex(data)
		if err != nil {
			t.Fatalf("ReadIndex of %s: %v", compression, err)
		}
		if len(x.Packages) != i+1 {
			t.Errorf("%s: index has %v", compression, x.Names())
		}
	}
}

func TestOrderIsTheRealOne(t *testing.T) {
	run := realXBPS(t)
	for _, a := range versions {
		for _, b := range versions {
			out, code := run("xbps-uhelper", "cmpver", a, b)
			if code > 1 {
				code -= 256
			}
			if got := xbps.Compare(a, b); got != code {
				t.Errorf("Compare(%q, %q) = %d, real is %d %s", a, b, got, code, out)
			}
		}
	}
}

func TestMatchIsTheRealOne(t *testing.T) {
	run := realXBPS(t)
	for _, c := range patterns {
		_, code := run("xbps-uhelper", "pkgmatch", c.pkgver, c.pattern)
		if real := code == 1; real != c.want {
			t.Errorf("%s matches %s: the table says %t, real is %t", c.pkgver, c.pattern, c.want, real)
		}
		name, _, ok := xbps.SplitPkgver(c.pkgver)
		out, code := run("xbps-uhelper", "getpkgname", c.pkgver)
		if (code == 0) != ok || ok && strings.TrimSpace(out) != name {
			t.Errorf("SplitPkgver(%q) = %q, %t; real is %q", c.pkgver, name, ok, out)
		}
	}
}
