package images_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/klauspost/compress/zstd"

	"provision.internal/images"
	"provision.internal/images/imagestest"
	"provision.internal/xbps"
)

const kernelRelease = imagestest.KernelRelease

func kernelFiles(lib string) []xbps.File { return imagestest.KernelFiles(lib, "vmlinuz") }

// repository builds one with a meta package that depends on the kernel's.
func repository(t testing.TB, files []xbps.File, more ...xbps.Spec) []images.Repository {
	t.Helper()
	b := &xbps.Builder{Dir: t.TempDir(), Arch: "x86_64", Key: imagestest.Signer()}
	for _, s := range append([]xbps.Spec{
		{Package: xbps.Package{Pkgver: "linux-6.1_1", Arch: "x86_64", Desc: "meta", Depends: []string{"linux6.1>=6.1_1"}}},
		{Package: xbps.Package{Pkgver: "linux6.1-6.1.9_1", Arch: "x86_64", Desc: "kernel", Depends: []string{"linux-base>=0"}}, Files: files},
		{Package: xbps.Package{Pkgver: "linux-base-1_1", Arch: "noarch", Desc: "no kernel in it"}},
	}, more...) {
		if _, err := b.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	all, err := images.OpenRepositories([]string{b.Dir}, "x86_64", xbps.Keys{b.PublicKey().Fingerprint(): *b.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// tarball writes a ROOTFS tarball.
func tarball(t testing.TB, headers ...tar.Header) string {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		body := h.PAXRecords["body"]
		h.PAXRecords = nil
		if h.Size == 0 {
			h.Size = int64(len(body))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "rootfs.tar")
	if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func regular(name, body string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, PAXRecords: map[string]string{"body": body}}
}

func rootfs(t testing.TB) string {
	t.Helper()
	return tarball(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "./usr/bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "./bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"},
		tar.Header{Name: "./lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"},
		regular("./usr/bin/sfdisk", "sfdisk"),
		tar.Header{Name: "./usr/bin/hard", Typeflag: tar.TypeLink, Linkname: "./usr/bin/sfdisk"},
		regular("./usr/share/man/man8/sfdisk.8", "a manual"),
		regular("./usr/lib/libc.a", "an archive"),
		tar.Header{Name: "./dev/", Typeflag: tar.TypeDir, Mode: 0o755},
	)
}

func inputs(t testing.TB) images.Inputs {
	return images.Inputs{
		Arch: "x86_64", Rootfs: rootfs(t), Repositories: repository(t, kernelFiles("usr/lib")), Kernel: "linux", Agent: []byte("\x7fELF agent"),
		Overlay: func(userland images.Blob) (map[string][]byte, error) {
			return map[string][]byte{"/etc/provision/agent.json": []byte(userland.SHA256)}, nil
		},
	}
}

func open(t testing.TB) *images.Store {
	t.Helper()
	s, err := images.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func content(t testing.TB, s *images.Store, b images.Blob) []byte {
	t.Helper()
	f, err := s.File(b.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := io.ReadAll(f)
	if err != nil || int64(len(all)) != b.Size {
		t.Fatalf("%s: %d bytes, %v; want %d", b.SHA256, len(all), err, b.Size)
	}
	return all
}

// unpackInitrd does as the kernel does: archive after archive, plain or zstd,
// each at a multiple of four bytes.
func unpackInitrd(t testing.TB, b []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	for len(b) > 0 {
		switch {
		case b[0] == 0:
			b = b[1:]
			continue
		case bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")):
			z, err := zstd.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
			z.Close()
		}
		counted := bytes.NewReader(b)
		r := cpio.NewReader(counted)
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Guid != 0 {
				t.Errorf("%s: time %v, owner %d:%d; want none", h.Name, h.ModTime, h.Uid, h.Guid)
			}
			body, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			out[h.Name] = h.Mode.String() + " " + h.Linkname + string(body)
		}
		b = b[len(b)-counted.Len():]
	}
	return out
}

func unpackUserland(t testing.TB, b []byte) map[string]string {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string]string{}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = h.FileInfo().Mode().String() + " " + h.Linkname + string(body)
	}
}

func names(m map[string]string) []string {
	var all []string
	for name := range m {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func unzstd(t testing.TB, body string) string {
	t.Helper()
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b, err := z.DecodeAll([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
