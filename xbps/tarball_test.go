package xbps_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"provision.internal/xbps"
)

func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// last reads a tarball to its end or its first error.
func last(b []byte) (n int, err error) {
	t, err := xbps.OpenTarball(bytes.NewReader(b), 1<<20)
	if err != nil {
		return 0, err
	}
	defer t.Close()
	for {
		if _, err := t.Next(); err != nil {
			return n, err
		}
		n++
	}
}

func TestTarballRefuses(t *testing.T) {
	dir := tar.Header{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}
	file := tar.Header{Name: "etc/a", Typeflag: tar.TypeReg, Size: 1}
	out := tar.Header{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "/etc"}
	for name, c := range map[string]struct {
		headers []tar.Header
		want    string
	}{
		"an absolute path":        {[]tar.Header{{Name: "/etc/a", Typeflag: tar.TypeReg}}, "absolute"},
		"a path that leaves":      {[]tar.Header{{Name: "./../a", Typeflag: tar.TypeReg}}, "leaves the tree"},
		"a path that comes back":  {[]tar.Header{{Name: "a/../b", Typeflag: tar.TypeReg}}, "leaves the tree"},
		"through a symbolic link": {[]tar.Header{out, {Name: "out/a", Typeflag: tar.TypeReg}}, "no directory"},
		"below a file":            {[]tar.Header{dir, file, {Name: "etc/a/b", Typeflag: tar.TypeReg}}, "no directory"},
		"a file over a link":      {[]tar.Header{out, {Name: "out", Typeflag: tar.TypeReg}}, "given twice"},
		"a directory over a link": {[]tar.Header{out, {Name: "out/", Typeflag: tar.TypeDir}}, "given twice"},
		"a character device":      {[]tar.Header{{Name: "null", Typeflag: tar.TypeChar}}, "are refused"},
		"a block device":          {[]tar.Header{{Name: "sda", Typeflag: tar.TypeBlock}}, "are refused"},
		"a pipe":                  {[]tar.Header{{Name: "fifo", Typeflag: tar.TypeFifo}}, "are refused"},
		"a hard link that leaves": {[]tar.Header{{Name: "a", Typeflag: tar.TypeLink, Linkname: "../etc/shadow"}}, "leaves the tree"},
		"an absolute hard link":   {[]tar.Header{{Name: "a", Typeflag: tar.TypeLink, Linkname: "/etc/shadow"}}, "absolute"},
		"a hard link to nothing":  {[]tar.Header{{Name: "a", Typeflag: tar.TypeLink, Linkname: "b"}}, "no earlier file"},
		"a hard link to a link":   {[]tar.Header{out, {Name: "a", Typeflag: tar.TypeLink, Linkname: "out"}}, "no earlier file"},
		"a hard link to a folder": {[]tar.Header{dir, {Name: "a", Typeflag: tar.TypeLink, Linkname: "etc"}}, "no earlier file"},
		"the root as a file":      {[]tar.Header{{Name: ".", Typeflag: tar.TypeSymlink, Linkname: "x"}}, "root"},
		"more than the limit":     {[]tar.Header{{Name: "a", Typeflag: tar.TypeReg, Size: 2 << 20}, {Name: "b", Typeflag: tar.TypeReg}}, "when decompressed"},
		"a path that is too long": {[]tar.Header{{Name: strings.Repeat("a/", 3000) + "a", Typeflag: tar.TypeReg}}, "path of"},
		"a name that is too long": {[]tar.Header{{Name: "etc/" + strings.Repeat("a", 300), Typeflag: tar.TypeReg}}, "name of 300 bytes"},
		"a link without a target": {[]tar.Header{{Name: "a", Typeflag: tar.TypeSymlink}}, "without a target"},
	} {
		if n, err := last(tarOf(t, c.headers...)); err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d files, %v; want %q", name, n, err, c.want)
		}
	}
}

// A sparse file of the POSIX format has a size of its own saying: a few bytes of
// tarball would otherwise unpack to any number of zeros.
func TestTarballRefusesSparseBomb(t *testing.T) {
	record := func(key, value string) string {
		n := len(key) + len(value) + 3
		for n != len(key)+len(value)+3+len(strconv.Itoa(n)) {
			n++
		}
		return strconv.Itoa(n) + " " + key + "=" + value + "\n"
	}
	pax := record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", "zeros") + record("GNU.sparse.realsize", "1099511627776")
	var b []byte
	for _, part := range []struct {
		kind byte
		body string
	}{{'x', pax}, {'0', "1\n0\n0\n" + strings.Repeat("\x00", 506)}} {
		one := tarOf(t, tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: int64(len(part.body))})
		one = one[:len(one)-1024] // without the end of the archive
		one[156] = part.kind
		copy(one[512:], part.body)
		copy(one[148:], "        ")
		sum := 0
		for _, c := range one[:512] {
			sum += int(c)
		}
		copy(one[148:], fmt.Sprintf("%06o\x00 ", sum))
		b = append(b, one...)
	}
	if n, err := last(b); n != 0 || err == nil || !strings.Contains(err.Error(), "zeros") || !strings.Contains(err.Error(), "when decompressed") {
		t.Errorf("%d files, %v; want the sparse file refused by name", n, err)
	}
}

func TestTarballReadsWhatIsRight(t *testing.T) {
	n, err := last(tarOf(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o700},
		tar.Header{Name: "etc/a", Typeflag: tar.TypeReg, Size: 1},
		tar.Header{Name: "etc/b", Typeflag: tar.TypeLink, Linkname: "./etc/a"},
		tar.Header{Name: "etc/..c", Typeflag: tar.TypeSymlink, Linkname: "../../../anywhere"},
	))
	if n != 5 || !errors.Is(err, io.EOF) {
		t.Errorf("%d files, %v; want 5 and the end", n, err)
	}
}

// FuzzOpenArchive looks for panics, and for paths that leave the tree.
func FuzzOpenArchive(f *testing.F) {
	props := plist("<dict><key>pkgver</key><string>foo-1.0_1</string><key>architecture</key><string>noarch</string></dict>")
	list := plist("<dict><key>files</key><array><dict><key>file</key><string>/a</string></dict></array></dict>")
	f.Add(members(f, "./INSTALL", "#!/bin/sh\n", "./props.plist", props, "./files.plist", list, "./a", "x"))
	f.Add(members(f, "./props.plist", props, "./files.plist", "<plist><dict/></plist>"))
	f.Add(members(f, "./files.plist", list))
	f.Add(tarOf(f, tar.Header{Name: "./../x", Typeflag: tar.TypeReg}))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := xbps.OpenArchive(bytes.NewReader(b))
		if err != nil {
			return
		}
		defer a.Close()
		for {
			e, err := a.Next()
			if err != nil {
				return
			}
			if e.Path == "" || e.Path[0] == '/' || e.Path == ".." || strings.HasPrefix(e.Path, "../") || strings.Contains(e.Path, "/../") {
				t.Errorf("path %q", e.Path)
			}
		}
	})
}

func TestOpenArchiveRefuses(t *testing.T) {
	props := plist("<dict><key>pkgver</key><string>foo-1.0_1</string><key>architecture</key><string>noarch</string></dict>")
	list := plist("<dict/>")
	for name, file := range map[string][]byte{
		"no metadata":          members(t, "./usr/bin/foo", "x"),
		"payload first":        members(t, "./usr/bin/foo", "x", "./props.plist", props, "./files.plist", list),
		"no props":             members(t, "./files.plist", list),
		"no files":             members(t, "./props.plist", props),
		"a path in its name":   members(t, "./props.plist", strings.Replace(props, "foo-", "a/foo-", 1), "./files.plist", list),
		"a huge script":        members(t, "./INSTALL", strings.Repeat("#", 2<<20), "./props.plist", props, "./files.plist", list),
		"props as a directory": tarOf(t, tar.Header{Name: "./props.plist/", Typeflag: tar.TypeDir}),
		"half a file":          members(t, "./props.plist", props, "./files.plist", list)[:700],
	} {
		if a, err := xbps.OpenArchive(bytes.NewReader(file)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, %v; want an error other than the end", name, a, err)
		}
	}
}
