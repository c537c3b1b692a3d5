package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"provision.internal/images/release/releasetest"
)

var imagesSection = regexp.MustCompile(`(?m)^images: \{.*\}$`)

// withImages is the minimal configuration with another section images.
func withImages(t testing.TB, section string) string {
	t.Helper()
	if !imagesSection.MatchString(minimal) {
		t.Fatal("the minimal configuration has no line images")
	}
	return imagesSection.ReplaceAllLiteralString(minimal, "images: {"+section+"}")
}

// A site with the internet need not say anything of images.
func TestImagesFromVoidByDefault(t *testing.T) {
	cfg, err := parse(t, withImages(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	im := cfg.Images
	if r := im.release(); r.Name != "20250202" || r.Upstream != "https://repo-default.voidlinux.org" {
		t.Errorf("release %+v", r)
	}
	if got := im.folders("x86_64"); !slices.Equal(got, []string{"current", "current/nonfree"}) {
		t.Errorf("repositories %q", got)
	}
	if keys, err := im.trusted(); err != nil || len(keys) == 0 {
		t.Errorf("keys %v, %v; want Void's own", keys, err)
	}
}

func TestImagesUpstreamFaults(t *testing.T) {
	key := releasetest.NewKey(1).Public
	for _, c := range []struct{ section, key, says string }{
		{"release: \"20260901\"", "images.release", "set it as images.release_key"},
		{"release: 20260901, release_key: " + key, "", ""},
		{"release: \"20221001\"", "images.release", "signify"},
		{"release: newest", "images.release", "is no release"},
		{"release: \"20260901\", release_key: RWx", "images.release", "is no minisign key"},
		{"upstream: ftp://example.org", "images.upstream", "want something like https://"},
		{"upstream: example.org", "images.upstream", "want something like https://"},
		{"upstream: \"https://me:secret@example.org\"", "images.upstream", "may have no user"},
		{"rootfs: mine.tar.xz, release: newest", "", ""},
		{"arch: [x86_64, x86_64-musl]", "images.arch", "is there twice"},
	} {
		_, err := parse(t, withImages(t, c.section))
		var faults Faults
		switch {
		case c.key == "" && err == nil:
		case !errors.As(err, &faults) || len(faults) != 1 || faults[0].Key != c.key || !strings.Contains(faults[0].Problem, c.says):
			t.Errorf("images: {%s}: %v; want one fault, of %q with %q", c.section, err, c.key, c.says)
		case strings.Contains(err.Error(), "secret"):
			t.Errorf("the fault tells the password: %v", err)
		}
	}
}

// The machine decides the architecture, the role the C library, and both which
// repositories.
func TestTargetAndFolders(t *testing.T) {
	mirror := t.TempDir()
	if err := os.MkdirAll(filepath.Join(mirror, "current"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		section, machine, libc, target, folders string
	}{
		{"", "x86_64", "", "x86_64", "current current/nonfree"},
		{"", "x86_64", "musl", "x86_64-musl", "current/musl current/musl/nonfree"},
		{"libc: musl", "x86_64", "", "x86_64-musl", "current/musl current/musl/nonfree"},
		{"libc: musl", "x86_64", "glibc", "x86_64", "current current/nonfree"},
		{"arch: x86_64-musl", "x86_64", "", "x86_64-musl", "current/musl current/musl/nonfree"},
		{"arch: [x86_64, aarch64]", "aarch64", "musl", "aarch64-musl", "current/aarch64 current/aarch64/nonfree"},
		{"arch: x86_64 aarch64", "aarch64", "", "aarch64", "current/aarch64 current/aarch64/nonfree"},
		{"", "aarch64", "", "", ""},
		{"repository: /nothing, keys: k, rootfs: r", "x86_64", "", "x86_64", ""},
		{"repository: " + mirror + ", keys: k, rootfs: r", "x86_64", "", "x86_64", "current current/nonfree"},
		{"repository: " + mirror + ", repositories: [a, b], keys: k, rootfs: r", "x86_64", "", "x86_64", "a b"},
		{"repository: " + mirror + ", repositories: [a, b], keys: k, rootfs: r", "x86_64", "musl", "x86_64-musl", "current/musl current/musl/nonfree"},
	} {
		cfg, err := parse(t, withImages(t, c.section))
		if err != nil {
			t.Fatalf("images: {%s}: %v", c.section, err)
		}
		target, err := cfg.Images.target(c.machine, c.libc)
		if target != c.target || (err != nil) != (c.target == "") {
			t.Errorf("images: {%s}: target(%s, %s) = %q, %v; want %q", c.section, c.machine, c.libc, target, err, c.target)
		}
		if got := strings.Join(cfg.Images.folders(target), " "); c.target != "" && got != c.folders {
			t.Errorf("images: {%s}: repositories %q, want %q", c.section, got, c.folders)
		}
	}
}
