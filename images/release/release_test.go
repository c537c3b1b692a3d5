package release_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"provision.internal/images/release"
	"provision.internal/images/release/releasetest"
)

const (
	sum1 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sum2 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	list = "SHA256 (one.tar.xz) = " + sum1 + "\nSHA256 (two.iso) = " + sum2 + "\n"
)

func TestVerify(t *testing.T) {
	k := releasetest.NewKey(1)
	want := release.Sums{"one.tar.xz": sum1, "two.iso": sum2}
	for name, text := range map[string]string{
		"as Void writes it":       list,
		"without tags":            sum1 + "  one.tar.xz\n" + sum2 + " *two.iso\n",
		"with a line given twice": list + list,
		"from another system":     strings.ReplaceAll(list, "\n", "\r\n"),
	} {
		got, err := release.Verify([]byte(text), k.Sign([]byte(text), "20250202"), k.Public)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	if sum, err := want.File("two.iso"); err != nil || sum != sum2 {
		t.Errorf("File = %s, %v", sum, err)
	}
	if _, err := want.File("three"); err == nil || !strings.Contains(err.Error(), "does not name three") {
		t.Errorf("File of an unknown name: %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	k, other := releasetest.NewKey(1), releasetest.NewKey(2)
	good := k.Sign([]byte(list), "20250202")
	lines := strings.Split(string(good), "\n")
	signify := []byte("untrusted comment: verify with void-release-20221001.pub\n" + lines[1] + "\n")
	comment := []byte(strings.Replace(string(good), "20250202", "20260101", 1))
	signed := func(text string) ([]byte, []byte) { return []byte(text), k.Sign([]byte(text), "20250202") }
	for name, c := range map[string]struct {
		sums, signature func() []byte
		key             string
		is              error
		says            string
	}{
		"another text":         {func() []byte { return []byte(list + "\n") }, func() []byte { return good }, k.Public, release.ErrSignature, "sha256sum.txt and the key " + k.Public},
		"another key":          {func() []byte { return []byte(list) }, func() []byte { return good }, other.Public, release.ErrSignature, "images.release_key"},
		"another comment":      {func() []byte { return []byte(list) }, func() []byte { return comment }, k.Public, release.ErrSignature, ""},
		"signify":              {func() []byte { return []byte(list) }, func() []byte { return signify }, k.Public, release.ErrSignature, "is of signify"},
		"no signature":         {func() []byte { return []byte(list) }, func() []byte { return nil }, k.Public, release.ErrSignature, "four lines"},
		"a page of a proxy":    {func() []byte { return []byte(list) }, func() []byte { return []byte("<html>\n<body>\nNot Found\n</html>") }, k.Public, release.ErrSignature, ""},
		"no key":               {func() []byte { return []byte(list) }, func() []byte { return good }, "RWnonsense", nil, "is no minisign key"},
		"a list without files": {func() []byte { s, _ := signed("\n"); return s }, func() []byte { _, s := signed("\n"); return s }, k.Public, release.ErrSums, "names no file"},
		"a path for a name": {
			func() []byte { s, _ := signed(sum1 + "  ../one\n"); return s },
			func() []byte { _, s := signed(sum1 + "  ../one\n"); return s }, k.Public, release.ErrSums, "line 1",
		},
		"two sums for a name": {
			func() []byte { s, _ := signed(sum1 + "  one\n" + sum2 + "  one\n"); return s },
			func() []byte { _, s := signed(sum1 + "  one\n" + sum2 + "  one\n"); return s }, k.Public, release.ErrSums, "second SHA-256",
		},
	} {
		_, err := release.Verify(c.sums(), c.signature(), c.key)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want %v with %q", name, err, c.is, c.says)
		}
	}
}

func TestKey(t *testing.T) {
	own := releasetest.NewKey(1).Public
	for _, c := range []struct{ name, own, want, says string }{
		{release.Latest, "", "RWT5+SoQD+dWTeOdNuc4Q/jq2+3+jpql7+JJp4WukkxTdpsZlk2EGuPj", ""},
		{"20260901", own, own, ""},
		{release.Latest, own, own, ""},
		{"20260901", "", "", "set it as images.release_key"},
		{"20221001", own, "", "signify"},
		{"20260901", "untrusted comment: x", "", "is no minisign key"},
		{"current", "", "", "is no release"},
		{"../20250202", "", "", "is no release"},
	} {
		got, err := release.Key(c.name, c.own)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("Key(%q, %q) = %q, %v; want %q, %q", c.name, c.own, got, err, c.want, c.says)
		}
	}
}

func TestRootfs(t *testing.T) {
	if got, err := release.Rootfs("20250202", "aarch64-musl"); err != nil || got != "void-aarch64-musl-ROOTFS-20250202.tar.xz" {
		t.Errorf("Rootfs = %q, %v", got, err)
	}
	if _, err := release.Rootfs("20250202", "armv7l"); err == nil {
		t.Error("there is a ROOTFS that nothing can be done with")
	}
	if got := release.Dir("20250202"); got != "live/20250202" {
		t.Errorf("Dir = %q", got)
	}
}

func FuzzVerify(f *testing.F) {
	k := releasetest.NewKey(1)
	good := k.Sign([]byte(list), "20250202")
	f.Add([]byte(list), good)
	f.Add([]byte(list), []byte("untrusted comment: x\nRWQ=\n"))
	f.Add([]byte(""), []byte("\n\n\n\n"))
	f.Fuzz(func(t *testing.T, sums, signature []byte) {
		got, err := release.Verify(sums, signature, k.Public)
		if err == nil && string(sums) != list {
			t.Fatalf("believed %q, which nobody signed: %v", sums, got)
		}
	})
}

// What is signed may be anything: the parser has no other shield.
func FuzzParse(f *testing.F) {
	k := releasetest.NewKey(1)
	f.Add(list)
	f.Add(sum1 + "  one\n")
	f.Add("SHA256 (a b) = " + sum1)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := release.Verify([]byte(text), k.Sign([]byte(text), ""), k.Public)
		for name, sum := range got {
			if err != nil || len(sum) != 64 || strings.ContainsAny(name, "/\n ") || !strings.Contains(text, name) {
				t.Errorf("%q → %q: %q, %v", text, name, sum, err)
			}
		}
	})
}
