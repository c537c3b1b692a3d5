package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"provision.internal/xbps"
)

var signer = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// repo builds a repository of specs and returns its folder and a root that trusts it.
func repo(t *testing.T, specs ...xbps.Spec) (dir, root string) {
	t.Helper()
	b := &xbps.Builder{Dir: t.TempDir(), Arch: "x86_64", Key: signer(), SignedBy: "the lab"}
	for _, s := range specs {
		if s.Arch == "" {
			s.Arch = "x86_64"
		}
		if s.Desc == "" {
			s.Desc = "a sample"
		}
		if _, err := b.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	name, content, err := b.PublicKey().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "var/db/xbps/keys", name), content)
	t.Setenv("XBPS_ARCH", "x86_64")
	return b.Dir, root
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func specs() []xbps.Spec {
	hard := xbps.File{Path: "usr/bin/hard", Mode: 0o755, Link: "usr/bin/foo"}
	return []xbps.Spec{
		{
			Package: xbps.Package{Pkgver: "base-1.0_1"},
			Files: []xbps.File{
				xbps.Directory("usr/bin", 0o755), xbps.Symlink("bin", "usr/bin"), xbps.Symlink("var/run", "/run"),
				xbps.Regular("run/keep", 0o644, nil), xbps.Directory("tmp", 0o777|os.ModeSticky),
			},
		},
		{
			Package: xbps.Package{Pkgver: "foo-2.0_1", Depends: []string{"base>=1.0", "vbar>=0"}, ConfFiles: []string{"/etc/foo.conf"}},
			Install: "#!/bin/sh\necho \"$@\" >>log\n",
			Files: []xbps.File{
				xbps.Regular("etc/foo.conf", 0o644, []byte("new\n")), xbps.Regular("usr/bin/foo", 0o4755|os.ModeSetuid, []byte("foo\n")), hard,
				xbps.Regular("var/run/foo/pid", 0o600, []byte("1\n")),
			},
		},
		{Package: xbps.Package{Pkgver: "bar-1.0_1", Provides: []string{"vbar-1.0_1"}}, Files: []xbps.File{xbps.Regular("usr/share/bar", 0o644, bytes.Repeat([]byte("bar"), 1<<18))}},
	}
}

func TestInstall(t *testing.T) {
	dir, root := repo(t, specs()...)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	write(t, filepath.Join(root, "etc/foo.conf"), []byte("mine\n"))
	args := []string{"-Sy", "-i", "-R", server.URL, "-r", root, "foo"}
	if err := run(t.Context(), "xbps-install", args); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/foo.conf": "mine\n", "etc/foo.conf.new-2.0_1": "new\n", // an existing configuration is never overwritten
		"bin/hard":    "foo\n",
		"run/foo/pid": "1\n", // through the link /var/run, which is meant inside of the root
		"log":         "pre foo 2.0_1 no no x86_64\npost foo 2.0_1 no no x86_64\n",
	} {
		if got := read(t, root, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if info, err := os.Stat(filepath.Join(root, "usr/bin/foo")); err != nil || info.Mode() != 0o755|os.ModeSetuid {
		t.Errorf("usr/bin/foo: %v, %v; want setuid", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Join(root, "tmp")); err != nil || info.Mode() != 0o777|os.ModeSticky|os.ModeDir {
		t.Errorf("tmp: %v, %v; want the sticky bit", info, err)
	}
	s, err := openSystem(root)
	if err != nil {
		t.Fatal(err)
	}
	var list bytes.Buffer
	s.list(&list)
	s.close()
	if want := "ii bar-1.0_1  a sample\nii base-1.0_1 a sample\nii foo-2.0_1  a sample\n"; list.String() != want {
		t.Errorf("xbps-query -l:\n%swant\n%s", list.String(), want)
	}
	if e := s.packages["base"]; !e.Automatic || s.packages["foo"].Automatic {
		t.Error("base must be automatic, foo must not")
	}

	// Again: nothing to do. And the scripts once more.
	if err := run(t.Context(), "xbps-install", args); err != nil {
		t.Error(err)
	}
	if err := run(t.Context(), "xbps-reconfigure", []string{"-fa", "-r", root}); err != nil {
		t.Error(err)
	}
	if got := strings.Count(read(t, root, "log"), "post"); got != 2 {
		t.Errorf("the post script ran %d times, want 2", got)
	}
}

func TestInstallRefuses(t *testing.T) {
	dir, root := repo(t, specs()...)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	args := []string{"-Sy", "-R", server.URL, "-r", root}

	t.Run("a package that is not there", func(t *testing.T) {
		err := run(t.Context(), "xbps-install", append(args, "nothing"))
		if err == nil || !strings.Contains(err.Error(), "nothing: not found in repository pool") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a changed package", func(t *testing.T) {
		name := filepath.Join(dir, "bar-1.0_1.x86_64.xbps")
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		defer write(t, name, bytes.Clone(body))
		body[len(body)/2] ^= 1
		write(t, name, body)
		err = run(t.Context(), "xbps-install", append(args, "bar"))
		if !errors.Is(err, xbps.ErrSignature) {
			t.Errorf("error %v, want ErrSignature", err)
		}
		if left, _ := filepath.Glob(filepath.Join(root, "var/cache/xbps/*")); len(left) != 0 {
			t.Errorf("the cache keeps %v", left)
		}
		if _, err := os.Stat(filepath.Join(root, "usr/share/bar")); err == nil {
			t.Error("it was unpacked")
		}
	})
	t.Run("an unknown key", func(t *testing.T) {
		err := run(t.Context(), "xbps-install", []string{"-Sy", "-R", server.URL, "-r", t.TempDir(), "bar"})
		if err == nil || !strings.Contains(err.Error(), "Fingerprint") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a second process", func(t *testing.T) {
		s, err := openSystem(root)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		if err := run(t.Context(), "xbps-query", []string{"-l", "-r", root}); err == nil {
			t.Error("no error")
		}
	})
}

// A transfer that breaks is resumed where it stopped.
func TestDownloadResumes(t *testing.T) {
	dir, root := repo(t, specs()...)
	files := http.FileServer(http.Dir(dir))
	var broken atomic.Bool
	var resumed atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "bar-1.0_1.x86_64.xbps") {
			if r.Header.Get("Range") != "" {
				resumed.Add(1)
			}
			if broken.CompareAndSwap(false, true) {
				body, err := os.ReadFile(filepath.Join(dir, r.URL.Path))
				if err != nil {
					t.Error(err)
				}
				w.Header().Set("Content-Length", "1000000")
				if _, err := w.Write(body[:len(body)/2]); err != nil {
					t.Error(err)
				}
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
				panic(http.ErrAbortHandler)
			}
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	if err := run(t.Context(), "xbps-install", []string{"-Sy", "-R", server.URL, "-r", root, "bar"}); err != nil {
		t.Fatal(err)
	}
	if resumed.Load() != 1 {
		t.Errorf("%d requests with a range, want 1", resumed.Load())
	}
	if got := read(t, root, "usr/share/bar"); len(got) != 3<<18 {
		t.Errorf("usr/share/bar has %d bytes", len(got))
	}
}

func BenchmarkUnpack(b *testing.B) {
	builder := &xbps.Builder{Dir: b.TempDir(), Arch: "x86_64", Key: signer()}
	var files []xbps.File
	var size int64
	for i := range 1000 {
		body := bytes.Repeat([]byte{byte(i), byte(i >> 8), 'x'}, 4<<10)
		size += int64(len(body))
		files = append(files, xbps.Regular(filepath.Join("usr/lib", string(rune('a'+i%20)), strings.Repeat("f", i/20+1)), 0o644, body))
	}
	p, err := builder.Add(xbps.Spec{Package: xbps.Package{Pkgver: "many-1_1", Arch: "x86_64", Desc: "many files"}, Files: files})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		b.StopTimer()
		s, err := openSystem(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := s.unpack(b.Context(), filepath.Join(builder.Dir, p.File()), &entry{Package: p}, holders{}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.close()
		b.StartTimer()
	}
}
