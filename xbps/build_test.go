package xbps_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/xbps"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// builder returns a Builder for an empty folder.
func builder(t testing.TB) *xbps.Builder {
	t.Helper()
	return &xbps.Builder{Dir: t.TempDir(), Arch: "x86_64", Key: testKey(), SignedBy: "a test"}
}

func trust(t testing.TB, b *xbps.Builder) xbps.Keys {
	t.Helper()
	return xbps.Keys{b.PublicKey().Fingerprint(): *b.PublicKey()}
}

// sample is a package with every kind of file.
func sample() xbps.Spec {
	hard := xbps.Regular("usr/bin/hard", 0o755, []byte("hello\n"))
	hard.Link, hard.Open, hard.Size = "usr/bin/foo", nil, 0
	return xbps.Spec{
		Package: xbps.Package{
			Pkgver: "foo-1.0_1", Arch: "x86_64", Desc: "A sample",
			Depends: []string{"bar>=1.0_1"}, Provides: []string{"vfoo-0_1"}, ConfFiles: []string{"/etc/foo.conf"},
		},
		Install: "#!/bin/sh\ncase \"$1\" in\nesac\n",
		Files: []xbps.File{
			xbps.Directory("etc", 0o755),
			xbps.Regular("etc/foo.conf", 0o644, []byte("a = b\n")),
			xbps.Directory("usr", 0o755),
			xbps.Directory("usr/bin", 0o755),
			xbps.Regular("usr/bin/foo", 0o755, []byte("hello\n")),
			hard,
			xbps.Symlink("usr/bin/link", "foo"),
			xbps.Directory("var/empty", 0o700),
			xbps.Regular("usr/bin/su", 0o4755|fs.ModeSetuid, []byte("su\n")),
		},
	}
}

func TestBuilderMakesWhatReadersRead(t *testing.T) {
	b := builder(t)
	built, err := b.Add(sample())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	repo, err := xbps.OpenRepository(b.Dir, "x86_64", trust(t, b))
	if err != nil {
		t.Fatal(err)
	}
	p := repo.Index.Packages["foo"]
	if diff := cmp.Diff(built, p); diff != "" {
		t.Errorf("index differs from what was built (-built +index):\n%s", diff)
	}
	if got := p.Name() + "|" + p.Version() + "|" + p.File(); got != "foo|1.0_1|foo-1.0_1.x86_64.xbps" {
		t.Errorf("name|version|file = %s", got)
	}
	f, err := repo.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := xbps.OpenArchive(f)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.Props.Pkgver != "foo-1.0_1" || !slices.Equal(a.Props.Depends, []string{"bar>=1.0_1"}) {
		t.Errorf("props.plist = %+v", a.Props)
	}
	if !strings.Contains(string(a.Install), "mkdir -p './var/empty' && chown 0:0 './var/empty' && chmod 0700") {
		t.Errorf("INSTALL does not make the empty directory:\n%s", a.Install)
	}
	if len(a.List.ConfFiles) != 1 || a.List.ConfFiles[0].File != "/etc/foo.conf" {
		t.Errorf("conf_files = %v", a.List.ConfFiles)
	}
	var got []string
	for {
		f, err := a.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Mode.String()+" "+f.Path+" "+f.Target+f.Link+" "+string(body))
	}
	want := []string{
		"-rw-r--r-- etc/foo.conf  a = b\n",
		"-rwxr-xr-x usr/bin/foo  hello\n",
		"-rwxr-xr-x usr/bin/hard usr/bin/foo ",
		"Lrwxrwxrwx usr/bin/link foo ",
		"urwxr-xr-x usr/bin/su  su\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
}

func TestBuilderIsReproducible(t *testing.T) {
	var files [2][]byte
	for i := range files {
		b := builder(t)
		s := sample()
		if i == 1 {
			slices.Reverse(s.Files)
		}
		if _, err := b.Add(s); err != nil {
			t.Fatal(err)
		}
		if err := b.Finish(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"foo-1.0_1.x86_64.xbps", "foo-1.0_1.x86_64.xbps.sig2", "x86_64-repodata"} {
			body, err := os.ReadFile(filepath.Join(b.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[i] = append(files[i], body...)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("the same package built twice has other bytes")
	}
}

func TestBuilderRefuses(t *testing.T) {
	for name, change := range map[string]func(*xbps.Spec){
		"a version without revision": func(s *xbps.Spec) { s.Pkgver = "foo-1.0" },
		"a path in the name":         func(s *xbps.Spec) { s.Pkgver = "../foo-1.0_1" },
		"a foreign architecture":     func(s *xbps.Spec) { s.Arch = "aarch64" },
		"an absolute path":           func(s *xbps.Spec) { s.Files = []xbps.File{xbps.Regular("/etc/passwd", 0o644, nil)} },
		"a path that leaves":         func(s *xbps.Spec) { s.Files = []xbps.File{xbps.Regular("a/../../b", 0o644, nil)} },
		"a file given twice":         func(s *xbps.Spec) { s.Files = append(s.Files, s.Files[1]) },
		"a device":                   func(s *xbps.Spec) { s.Files = []xbps.File{{Path: "dev/sda", Mode: fs.ModeDevice}} },
		"a missing conf file":        func(s *xbps.Spec) { s.ConfFiles = []string{"/etc/other"} },
		"a hard link to nothing":     func(s *xbps.Spec) { s.Files = []xbps.File{{Path: "a", Link: "b"}} },
	} {
		s := sample()
		change(&s)
		b := builder(t)
		if _, err := b.Add(s); err == nil {
			t.Errorf("Add of %s: no error", name)
		}
		if left, _ := filepath.Glob(filepath.Join(b.Dir, "*")); len(left) != 0 {
			t.Errorf("Add of %s left %v", name, left)
		}
	}
}

func TestTreeListsAFolder(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "usr/bin"), 0o755),
		os.WriteFile(filepath.Join(dir, "usr/bin/foo"), []byte("x"), 0o755),
		os.Symlink("foo", filepath.Join(dir, "usr/bin/bar")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files, err := xbps.Tree(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Mode.String()+" "+f.Path+" "+f.Target)
	}
	want := []string{"drwxr-xr-x usr ", "drwxr-xr-x usr/bin ", "Lrwxrwxrwx usr/bin/bar foo", "-rwxr-xr-x usr/bin/foo "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Tree (-want +got):\n%s", diff)
	}
}

func TestRepositoryRefusesWhatIsNotSigned(t *testing.T) {
	b := builder(t)
	p, err := b.Add(sample())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	if _, err := xbps.OpenRepository(b.Dir, "x86_64", xbps.Keys{}); !errors.Is(err, xbps.ErrKey) {
		t.Errorf("OpenRepository without the key: %v, want ErrKey", err)
	}
	repo, err := xbps.OpenRepository(b.Dir, "x86_64", trust(t, b))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(b.Dir, p.File())
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}

	// An older package by the same key: rightly signed, but not this index's.
	stale := p
	stale.SHA256 = strings.Repeat("0", 64)
	if _, err := repo.Open(stale); !errors.Is(err, xbps.ErrHash) {
		t.Errorf("Open of a package with another hash: %v, want ErrHash", err)
	}
	body[len(body)-1] ^= 1
	if err := os.WriteFile(name, body, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Open(p); !errors.Is(err, xbps.ErrSignature) || !strings.Contains(err.Error(), p.File()) {
		t.Errorf("Open of a changed file: %v, want ErrSignature with its name", err)
	}
	if err := os.Remove(name + ".sig2"); err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Open(p); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open without a signature: %v, want ErrNotExist", err)
	}
}

// xbps' parser refuses a whole index for one numeric character reference.
func TestPlistsHaveNamedEntitiesOnly(t *testing.T) {
	b, err := xbps.MarshalPlist(map[string]string{"short_desc": "somebody's \"tool\" <&>\tand\nmore"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "somebody&apos;s &quot;tool&quot; &lt;&amp;&gt;\tand\nmore"; !strings.Contains(string(b), want) || strings.Contains(string(b), "&#") {
		t.Errorf("MarshalPlist = %s, want %s in it", b, want)
	}
}
