package images_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/images"
)

// bzImage is the head of a kernel for a PC that calls itself release.
func bzImage(release string) []byte {
	b := make([]byte, 0x400)
	copy(b[0x1fe:], "\x55\xaaxxHdrS")
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x20e:], 0x100)
	copy(b[0x300:], release+" (builder@host) #1 SMP\x00")
	return b
}

var xzInitrd = []byte("\xfd7zXZ\x00 and so on")

// member is one entry of a tarball: a regular file unless the header says
// otherwise.
type member struct {
	tar.Header
	body []byte
}

func file(name string, body []byte) member { return member{tar.Header{Name: name}, body} }

// netbootTarball packs members as mknet.sh does: gzip, names that begin with "./".
func netbootTarball(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, m := range members {
		if m.Typeflag == 0 {
			m.Typeflag, m.Size = tar.TypeReg, int64(len(m.body))
		}
		m.Mode = 0o644
		if err := w.WriteHeader(&m.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func whole(t testing.TB) []byte {
	return netbootTarball(t,
		member{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir}},
		file("./pxelinux.0", []byte("loader")),
		file("./initrd", xzInitrd),
		file("./vmlinuz", bzImage("6.12.10_1")),
		member{Header: tar.Header{Name: "./pxelinux.cfg/", Typeflag: tar.TypeDir}},
		file("./pxelinux.cfg/default", []byte("LABEL auto\n")),
	)
}

func netboot(t testing.TB, dir string, tarball []byte) (images.Netboot, error) {
	t.Helper()
	store, err := images.Open(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "void-x86_64-NETBOOT-20250202.tar.gz")
	if err := os.WriteFile(name, tarball, 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := store.Netboot(context.Background(), name)
	if err != nil {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name the file", err)
		}
		if left, err := store.List(); err != nil || len(left) > 0 {
			t.Errorf("a refused tarball left %v in the store (%v)", left, err)
		}
	}
	return n, err
}

func TestNetboot(t *testing.T) {
	dir := t.TempDir()
	n, err := netboot(t, dir, whole(t))
	if err != nil {
		t.Fatal(err)
	}
	if n.Release != "6.12.10_1" {
		t.Errorf("the release is %q", n.Release)
	}
	store, err := images.Open(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	for sha, want := range map[string][]byte{n.Kernel.SHA256: bzImage("6.12.10_1"), n.Initrd.SHA256: xzInitrd} {
		f, err := store.File(sha)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if f.Close(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s holds %q (%v), want %q", sha, got, err, want)
		}
	}
	again, err := netboot(t, dir, whole(t))
	if err != nil || again != n {
		t.Errorf("once more: %+v, %v; want %+v", again, err, n)
	}
}

// A tarball is somebody else's file: each of these is refused with a word that
// says why, and leaves nothing behind.
func TestHostileNetboot(t *testing.T) {
	defer images.LimitNetboot(1<<20, 64<<10)()
	kernel, initrd := file("./vmlinuz", bzImage("6.12")), file("./initrd", xzInitrd)
	link := func(name, to string, kind byte) member {
		return member{Header: tar.Header{Name: name, Linkname: to, Typeflag: kind}}
	}
	broken := whole(t)
	broken[len(broken)-6] ^= 1 // of gzip's checksum, after all files
	for name, tt := range map[string]struct {
		tarball []byte
		want    string
	}{
		"no kernel":                 {netbootTarball(t, initrd), "no vmlinuz"},
		"no initrd":                 {netbootTarball(t, kernel), "no initrd"},
		"empty":                     {nil, ""},
		"no tarball":                {[]byte("<html>not found</html>"), ""},
		"cut in the middle":         {whole(t)[:len(whole(t))/2], "EOF"},
		"a wrong checksum":          {broken, "checksum"},
		"an empty kernel":           {netbootTarball(t, file("vmlinuz", nil), initrd), "empty"},
		"a kernel that is a page":   {netbootTarball(t, file("vmlinuz", []byte("<html>")), initrd), "no Linux kernel"},
		"an initrd that is a page":  {netbootTarball(t, kernel, file("initrd", []byte("<html>"))), "no initramfs"},
		"a kernel that is a link":   {netbootTarball(t, link("vmlinuz", "/etc/shadow", tar.TypeSymlink), initrd), "no file of its own"},
		"an initrd that is a link":  {netbootTarball(t, kernel, link("initrd", "vmlinuz", tar.TypeLink)), "no file of its own"},
		"a link out":                {netbootTarball(t, link("vmlinuz", "../../etc/passwd", tar.TypeLink), initrd), "hard link"},
		"a path outside":            {netbootTarball(t, file("../../etc/cron.d/x", []byte("x")), kernel, initrd), ".."},
		"an absolute path":          {netbootTarball(t, file("/etc/passwd", []byte("x")), kernel, initrd), "absolute"},
		"through a link":            {netbootTarball(t, link("pxelinux.cfg", "/etc", tar.TypeSymlink), file("pxelinux.cfg/passwd", []byte("x")), kernel, initrd), "no directory"},
		"a device":                  {netbootTarball(t, link("sda", "", tar.TypeBlock), kernel, initrd), "refused"},
		"two kernels":               {netbootTarball(t, kernel, initrd, file("vmlinuz", bzImage("6.13"))), "twice"},
		"a large initrd":            {netbootTarball(t, kernel, file("initrd", append(xzInitrd, make([]byte, 64<<10)...))), "more than"},
		"a bomb beside the kernel":  {netbootTarball(t, kernel, initrd, file("splash.png", make([]byte, 2<<20))), "more than"},
		"a kernel that is a folder": {netbootTarball(t, member{Header: tar.Header{Name: "vmlinuz/", Typeflag: tar.TypeDir}}, initrd), "no file of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := netboot(t, t.TempDir(), tt.tarball)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Netboot = %+v, %v; want an error with %q", n, err, tt.want)
			}
		})
	}
}

// What a kernel says of itself is shown to people: no bytes of a tarball may do
// more than fail.
func FuzzNetbootKernel(f *testing.F) {
	f.Add(bzImage("6.12.10_1"))
	f.Add(bzImage("\x1b[2J"))
	f.Add(make([]byte, 0x210))
	far := bzImage("x")
	binary.LittleEndian.PutUint16(far[0x20e:], 0xffff)
	f.Add(far)
	f.Fuzz(func(t *testing.T, kernel []byte) {
		n, err := netboot(t, t.TempDir(), netbootTarball(t, file("vmlinuz", kernel), file("initrd", xzInitrd)))
		if err == nil && strings.ContainsFunc(n.Release, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("the release %q cannot be shown", n.Release)
		}
	})
}
