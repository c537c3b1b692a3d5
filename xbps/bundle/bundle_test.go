package bundle_test

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/xbps/bundle"
)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func trustAll(ed25519.PublicKey, bundle.Manifest) error { return nil }

// contents are names and contents, in the order of the bundle.
var contents = [][2]string{{"snapshot.json", "{}"}, {"packages/aa", strings.Repeat("x", 5000)}, {"keys/60-ae.plist", ""}, {"files/a~b+c@d", "y"}}

func manifest() (m bundle.Manifest) {
	m.Made, m.By, m.Title = time.Unix(1e9, 0).UTC(), "appliance", "a test"
	for _, c := range contents {
		sum := sha256.Sum256([]byte(c[1]))
		m.Files = append(m.Files, bundle.File{Name: c[0], Size: int64(len(c[1])), SHA256: hex.EncodeToString(sum[:])})
	}
	return m
}

func open(f bundle.File) (io.ReadCloser, error) {
	for _, c := range contents {
		if c[0] == f.Name {
			return io.NopCloser(strings.NewReader(c[1])), nil
		}
	}
	return nil, os.ErrNotExist
}

func whole(t testing.TB, key ed25519.PrivateKey) []byte {
	t.Helper()
	w, err := bundle.New(key, manifest())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := w.Write(&b, open); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != w.Size() {
		t.Errorf("Size() = %d, but %d bytes were written", w.Size(), b.Len())
	}
	return b.Bytes()
}

// read reads all of a bundle, and returns the names and contents that it gave.
func read(b []byte, trust func(ed25519.PublicKey, bundle.Manifest) error) (got [][2]string, err error) {
	r, err := bundle.Open(bytes.NewReader(b), trust)
	if err != nil {
		return nil, err
	}
	for {
		f, err := r.Next()
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return got, err
		}
		got = append(got, [2]string{f.Name, string(content)})
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	key := newKey(t)
	b := whole(t, key)
	var by ed25519.PublicKey
	got, err := read(b, func(k ed25519.PublicKey, m bundle.Manifest) error {
		if by = k; m.By != "appliance" || m.Title != "a test" || m.Total() != 5003 {
			t.Errorf("manifest %+v", m)
		}
		return nil
	})
	if err != nil || len(got) != len(contents) || !by.Equal(key.Public()) {
		t.Fatalf("%d files by %v, %v", len(got), by, err)
	}
	for i := range got {
		if got[i] != contents[i] {
			t.Errorf("file %d is %q, want %q", i, got[i], contents[i])
		}
	}
	// Files that nobody reads are verified all the same.
	r, err := bundle.Open(bytes.NewReader(b), trustAll)
	for err == nil {
		_, err = r.Next()
	}
	if err != io.EOF {
		t.Error(err)
	}
}

func TestUntrustedKeyStopsTheReading(t *testing.T) {
	b := whole(t, newKey(t))
	refusal := errors.New("not he")
	if _, err := read(b[:4096], func(ed25519.PublicKey, bundle.Manifest) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("error %v, want that of trust, before the files", err)
	}
}

// Each byte counts: whatever is changed is found.
func TestChangedBundleIsRefused(t *testing.T) {
	key := newKey(t)
	b := whole(t, key)
	for i := 0; i < len(b); i += 7 {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		got, err := read(bad, func(k ed25519.PublicKey, _ bundle.Manifest) error {
			if !k.Equal(key.Public()) {
				return errors.New("another key")
			}
			return nil
		})
		if err != nil {
			continue
		}
		// What tar does not look at (padding, user names, times) may differ.
		for j := range got {
			if got[j] != contents[j] {
				t.Fatalf("byte %d: file %d is %q", i, j, got[j])
			}
		}
		if len(got) != len(contents) {
			t.Fatalf("byte %d: %d files", i, len(got))
		}
	}
	// The last 1,536 bytes hold no content.
	for n := 0; n < len(b)-1536; n += 97 {
		if _, err := read(b[:n], trustAll); err == nil {
			t.Errorf("the first %d bytes were taken for all", n)
		}
	}
}

func TestForeignMembersAreRefused(t *testing.T) {
	key := newKey(t)
	for name, c := range map[string]struct {
		change func(h *tar.Header) (keep bool)
		extra  *tar.Header
	}{
		"another name":    {change: func(h *tar.Header) bool { h.Name = strings.Replace(h.Name, "packages/aa", "../aa", 1); return true }},
		"a link":          {change: func(h *tar.Header) bool { return h.Name != "keys/60-ae.plist" }, extra: &tar.Header{Name: "keys/60-ae.plist", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
		"one more":        {extra: &tar.Header{Name: "evil", Typeflag: tar.TypeReg}},
		"a device":        {extra: &tar.Header{Name: "evil", Typeflag: tar.TypeChar}},
		"one less":        {change: func(h *tar.Header) bool { return h.Name != "files/a~b+c@d" }},
		"no signature":    {change: func(h *tar.Header) bool { return h.Name != "manifest.sig" }},
		"no manifest":     {change: func(h *tar.Header) bool { return h.Name != "manifest.json" }},
		"nothing at all":  {change: func(h *tar.Header) bool { return false }},
		"names in a loop": {change: func(h *tar.Header) bool { h.Name = "manifest.json"; return true }},
	} {
		var b bytes.Buffer
		in, out := tar.NewReader(bytes.NewReader(whole(t, key))), tar.NewWriter(&b)
		for {
			h, err := in.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.change != nil && !c.change(h) {
				continue
			}
			if err := out.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(out, in); err != nil {
				t.Fatal(err)
			}
		}
		if c.extra != nil {
			if err := out.WriteHeader(c.extra); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := read(b.Bytes(), trustAll); !errors.Is(err, bundle.ErrFormat) && !errors.Is(err, bundle.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewRefusesWhatCannotBeRead(t *testing.T) {
	for name, change := range map[string]func(f *bundle.File){
		"a path that leaves": func(f *bundle.File) { f.Name = "a/../../b" },
		"an absolute path":   func(f *bundle.File) { f.Name = "/etc/passwd" },
		"an empty name":      func(f *bundle.File) { f.Name = "" },
		"a long name":        func(f *bundle.File) { f.Name = strings.Repeat("a", 101) },
		"a zero byte":        func(f *bundle.File) { f.Name = "a\x00b" },
		"a name twice":       func(f *bundle.File) { f.Name = "snapshot.json" },
		"the manifest":       func(f *bundle.File) { f.Name = "manifest.json" },
		"no hash":            func(f *bundle.File) { f.SHA256 = "" },
		"a negative size":    func(f *bundle.File) { f.Size = -1 },
		"a huge size":        func(f *bundle.File) { f.Size = 1 << 40 },
	} {
		m := manifest()
		change(&m.Files[1])
		if _, err := bundle.New(newKey(t), m); !errors.Is(err, bundle.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := manifest()
	m.Files[1].SHA256 = strings.Repeat("0", 64)
	w, err := bundle.New(newKey(t), m)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(io.Discard, open); err == nil {
		t.Error("wrote a file that is not what the manifest says")
	}
}

func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "export.key")
	first, made, err := bundle.LoadKey(file)
	if err != nil || !made {
		t.Fatalf("made %t, %v", made, err)
	}
	again, made, err := bundle.LoadKey(file)
	if err != nil || made || !again.Equal(first) {
		t.Errorf("the second time: made %t, %v", made, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	public := first.Public().(ed25519.PublicKey)
	text := bundle.FormatKey(public)
	if k, err := bundle.ParseKey(text); err != nil || !k.Equal(public) || len(text) != 51 {
		t.Errorf("ParseKey(%s) = %v, %v", text, k, err)
	}
	for _, bad := range []string{"", "ed25519:", text[1:], text[:50], text + "A", strings.ToUpper(text)} {
		if k, err := bundle.ParseKey(bad); err == nil {
			t.Errorf("ParseKey(%q) = %v", bad, k)
		}
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := bundle.LoadKey(file); err == nil {
		t.Error("read a key from nonsense")
	}
}

// FuzzOpen looks for panics, and for names that leave a folder.
func FuzzOpen(f *testing.F) {
	f.Add(whole(f, ed25519.NewKeyFromSeed(make([]byte, 32))))
	f.Add([]byte("manifest.json"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _ := read(b, trustAll)
		for _, f := range got {
			if !filepath.IsLocal(f[0]) {
				t.Errorf("name %q", f[0])
			}
		}
	})
}
