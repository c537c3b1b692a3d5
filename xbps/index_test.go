package xbps_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"provision.internal/xbps"
)

// members writes a plain tar file.
func members(t testing.TB, nameBody ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i := 0; i < len(nameBody); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: nameBody[i], Mode: 0o644, Size: int64(len(nameBody[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, nameBody[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func plist(body string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
` + body + "\n</plist>\n"
}

// foo is an index with one package, as xbps-rindex writes it.
var foo = plist(`<dict>
	<key>foo</key>
	<dict>
		<key>architecture</key>
		<string>noarch</string>
		<key>filename-sha256</key>
		<string>8b8f2b15595b3529453c8fba31901553949277e88563cc3f068d91c9c2eab210</string>
		<key>filename-size</key>
		<integer>844</integer>
		<key>installed_size</key>
		<integer>5</integer>
		<key>pkgver</key>
		<string>foo-1.0_1</string>
		<key>provides</key>
		<array/>
		<key>run_depends</key>
		<array>
			<string>bar&gt;=1.0_1</string>
		</array>
		<key>source-revisions</key>
		<string>unknown keys are no error</string>
	</dict>
</dict>`)

func TestReadIndexInEveryCompression(t *testing.T) {
	key, err := os.ReadFile("keys/void-60ae.plist")
	if err != nil {
		t.Fatal(err)
	}
	plain := members(t, "index.plist", foo, "index-meta.plist", string(key), "stage.plist", "")
	through := func(make func(io.Writer) (io.WriteCloser, error)) []byte {
		var buf bytes.Buffer
		w, err := make(&buf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	want := map[string]xbps.Package{"foo": {
		Pkgver: "foo-1.0_1", Arch: "noarch", Depends: []string{"bar>=1.0_1"}, Provides: []string{}, InstalledSize: 5, Size: 844,
		SHA256: "8b8f2b15595b3529453c8fba31901553949277e88563cc3f068d91c9c2eab210",
	}}
	for name, file := range map[string][]byte{
		"none": plain,
		"zstd": through(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
		"gzip": through(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
		"xz":   through(func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }),
		"lz4":  through(func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil }),
	} {
		x, err := xbps.ReadIndex(bytes.NewReader(file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, x.Packages); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if x.Key == nil || x.Key.SignedBy != "Void Linux" {
			t.Errorf("%s: key %v", name, x.Key)
		}
	}
}

func TestReadIndexUnsignedAndEmpty(t *testing.T) {
	for name, file := range map[string][]byte{
		"empty members":  members(t, "index.plist", "", "index-meta.plist", "", "stage.plist", ""),
		"no third":       members(t, "index.plist", "", "index-meta.plist", ""),
		"the old filler": members(t, "index.plist", "", "index-meta.plist", "DEADBEEF"),
	} {
		x, err := xbps.ReadIndex(bytes.NewReader(file))
		if err != nil || x.Key != nil || len(x.Packages) != 0 {
			t.Errorf("%s: %+v, %v; want an empty unsigned index", name, x, err)
		}
	}
}

func TestReadIndexRefuses(t *testing.T) {
	entry := func(name, pkgver, arch string) string {
		return plist("<dict><key>" + name + "</key><dict><key>pkgver</key><string>" + pkgver + "</string><key>architecture</key><string>" + arch + "</string></dict></dict>")
	}
	index := func(body string) []byte { return members(t, "index.plist", body, "index-meta.plist", "") }
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	whole := z.EncodeAll(index(foo), nil)
	for name, file := range map[string][]byte{
		"nothing":              nil,
		"no tar":               []byte("hello"),
		"members out of order": members(t, "index-meta.plist", "", "index.plist", foo),
		"one member":           members(t, "index.plist", foo),
		"a path for a name":    index(entry("foo", "../foo-1.0_1", "x86_64")),
		"a path for an arch":   index(entry("foo", "foo-1.0_1", "../../etc")),
		"a name without arch":  index(entry("foo", "foo-1.0_1", "")),
		"another name":         index(entry("bar", "foo-1.0_1", "x86_64")),
		"no version":           index(entry("foo", "foo", "x86_64")),
		"an array":             index(plist("<array/>")),
		"a deep nest":          index(plist(strings.Repeat("<dict><key>a</key>", 100000))),
		"half a file":          whole[:len(whole)/2],
		"a bomb":               z.EncodeAll(members(t, "index.plist", strings.Repeat(" ", 129<<20)), nil),
	} {
		if x, err := xbps.ReadIndex(bytes.NewReader(file)); err == nil {
			t.Errorf("%s: read as %v", name, x.Packages)
		}
	}
}

// FuzzReadIndex looks for panics and for names that could leave a folder.
func FuzzReadIndex(f *testing.F) {
	f.Add([]byte(foo), []byte(""))
	f.Add([]byte(plist("<dict/>")), []byte("DEADBEEF"))
	f.Add([]byte(plist("<dict><key>a</key><integer>-0x1</integer><key>b</key><date>2020</date></dict>")), []byte("<plist/>"))
	f.Add([]byte("bplist00"), []byte("{ a = b; }"))
	key, err := os.ReadFile("keys/void-3db9.plist")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(foo), key)
	f.Fuzz(func(t *testing.T, index, meta []byte) {
		x, err := xbps.ReadIndex(bytes.NewReader(members(t, "index.plist", string(index), "index-meta.plist", string(meta))))
		if err != nil {
			return
		}
		for _, p := range x.Packages {
			if filepath.Base(p.File()) != p.File() {
				t.Errorf("file name %q", p.File())
			}
		}
		// What was read can be written and is the same then.
		var buf bytes.Buffer
		if err := x.Write(&buf); err != nil {
			t.Skip("has text that XML cannot hold")
		}
	})
}

// FuzzReadStream gives the decompressors and the tar reader what an attacker would.
func FuzzReadStream(f *testing.F) {
	var whole bytes.Buffer
	x := xbps.Index{Packages: map[string]xbps.Package{"foo": {Pkgver: "foo-1.0_1", Arch: "noarch"}}}
	if err := x.Write(&whole); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	for _, magic := range []string{"\x28\xb5\x2f\xfd", "\x1f\x8b\x08", "\xfd7zXZ\x00", "BZh9", "\x04\x22\x4d\x18", ""} {
		f.Add([]byte(magic + "0123456789"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := xbps.Decompress(bytes.NewReader(b), 1<<20)
		if err != nil {
			return
		}
		defer d.Close()
		if n, _ := io.Copy(io.Discard, d); n > 1<<20 {
			t.Errorf("%d bytes passed the limit", n)
		}
	})
}

func BenchmarkReadIndex(b *testing.B) {
	x := xbps.Index{Packages: map[string]xbps.Package{}}
	for i := range 2000 {
		p := xbps.Package{Pkgver: "package" + string(rune('a'+i%26)) + strings.Repeat("x", i/26) + "-1.0_1", Arch: "x86_64", Depends: []string{"glibc>=2.32_1", "bar>=1.0_1"}}
		x.Packages[p.Name()] = p
	}
	var buf bytes.Buffer
	if err := x.Write(&buf); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := xbps.ReadIndex(bytes.NewReader(buf.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}
