package images_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/images"
	"provision.internal/images/release"
	"provision.internal/images/release/releasetest"
)

const (
	testRelease = "20260901"
	rootfsName  = "void-x86_64-ROOTFS-20260901.tar.xz"
)

// upstream serves a release with a file that cannot be compressed.
func upstream(t *testing.T) (*releasetest.Server, images.Release) {
	t.Helper()
	body := make([]byte, 300<<10)
	random := rand.NewChaCha8([32]byte{1})
	if _, err := random.Read(body); err != nil {
		t.Fatal(err)
	}
	key := releasetest.NewKey(1)
	srv := releasetest.NewServer(key, testRelease, map[string][]byte{rootfsName: body, "void-aarch64-ROOTFS-20260901.tar.xz": []byte("arm")})
	t.Cleanup(srv.Close)
	return srv, images.Release{Name: testRelease, Key: key.Public, Upstream: srv.URL + "/"}
}

func quick() *images.Fetcher {
	return &images.Fetcher{Pause: time.Millisecond, Stall: 50 * time.Millisecond}
}

func TestPull(t *testing.T) {
	srv, r := upstream(t)
	s := open(t)
	f := quick()
	var last [2]int64
	f.Progress = func(name string, done, size int64) {
		if name != rootfsName {
			t.Errorf("progress of %q", name)
		}
		last = [2]int64{done, size}
	}
	file, err := s.Pull(t.Context(), r, "x86_64", f)
	if err != nil {
		t.Fatal(err)
	}
	want := srv.Files[rootfsName]
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	if all := int64(len(want)); last != [2]int64{all, all} {
		t.Errorf("last progress %v, want all of %d", last, all)
	}
	if asked := srv.Asked(); !slices.Equal(asked, []string{release.SumsFile, release.SignatureFile, rootfsName}) {
		t.Errorf("asked for %q", asked)
	}
	for arch, want := range map[string]string{"x86_64": "", "x86_64-musl": "does not name void-x86_64-musl-ROOTFS"} {
		if err := r.Check(t.Context(), arch, f); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Check(%s) = %v, want %q", arch, err, want)
		}
	}
	// What is there needs no network.
	srv.Close()
	if again, err := s.Pull(t.Context(), r, "x86_64", f); err != nil || again != file {
		t.Errorf("without network: %s, %v", again, err)
	}
	if _, err := s.Pull(t.Context(), r, "aarch64", f); !errors.Is(err, images.ErrFetch) || !strings.Contains(err.Error(), "images.upstream") {
		t.Errorf("another file without network: %v, want ErrFetch and what to look at", err)
	}
}

// Each answer brings something and breaks off: the pull goes on from there,
// within one call as well as in the next.
func TestPullGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		noRanges bool
		cut      int64
		freeze   time.Duration
	}{
		"in pieces":                      {false, 64 << 10, 0},
		"a server that knows no ranges":  {true, 0, 0},
		"a server that freezes at times": {false, 100 << 10, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			srv, r := upstream(t)
			dir := t.TempDir()
			s, err := images.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			// A first call that is interrupted half-way.
			ctx, cancel := context.WithCancel(t.Context())
			srv.Cut, srv.Freeze = 150<<10, time.Minute
			f := &images.Fetcher{Progress: func(_ string, done, _ int64) {
				if done >= 150<<10 {
					cancel()
				}
			}}
			if _, err := s.Pull(ctx, r, "x86_64", f); !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted: %v", err)
			}
			part, err := filepath.Glob(filepath.Join(dir, "release", ".part-*"))
			if err != nil || len(part) != 1 {
				t.Fatalf("kept: %v, %v; want one half file", part, err)
			}
			srv.Asked()
			srv.Lock()
			srv.NoRanges, srv.Cut, srv.Freeze = c.noRanges, c.cut, c.freeze
			srv.Unlock()
			if s, err = images.Open(dir); err != nil {
				t.Fatal(err)
			}
			file, err := s.Pull(t.Context(), r, "x86_64", quick())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, srv.Files[rootfsName]) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			asked := srv.Asked()
			if first := asked[2]; !strings.HasPrefix(first, rootfsName+" bytes=") {
				t.Errorf("asked for %q, want the rest only", asked)
			}
			if _, err := os.Stat(part[0]); err == nil {
				t.Error("the half file is still there")
			}
		})
	}
}

// A half file that is wrong costs one more transfer and is never taken for right.
func TestPullStartsAgainAfterDamage(t *testing.T) {
	for name, half := range map[string][]byte{
		"other content":   bytes.Repeat([]byte("x"), 1000),
		"as long as all":  bytes.Repeat([]byte("x"), 300<<10),
		"longer than all": bytes.Repeat([]byte("x"), 400<<10),
	} {
		t.Run(name, func(t *testing.T) {
			srv, r := upstream(t)
			dir := t.TempDir()
			s, err := images.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(dir, "release"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "release", ".part-"+sumOf(srv.Files[rootfsName])), half, 0o644); err != nil {
				t.Fatal(err)
			}
			file, err := s.Pull(t.Context(), r, "x86_64", quick())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, srv.Files[rootfsName]) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func TestPullRefuses(t *testing.T) {
	other := releasetest.NewKey(2)
	for name, c := range map[string]struct {
		change func(*releasetest.Server, *images.Release)
		want   string
	}{
		"another key":          {func(_ *releasetest.Server, r *images.Release) { r.Key = other.Public }, "sha256sum.sig: the signature is not valid for sha256sum.txt and the key " + other.Public},
		"a changed list":       {func(s *releasetest.Server, _ *images.Release) { s.Files[release.SumsFile][20] ^= 1 }, "the signature is not valid"},
		"a changed file":       {func(s *releasetest.Server, _ *images.Release) { s.Files[rootfsName][9] ^= 1 }, rootfsName + " is not what was signed"},
		"a release of signify": {func(_ *releasetest.Server, r *images.Release) { r.Name = "20221001" }, "signify"},
		"a release without key": {func(_ *releasetest.Server, r *images.Release) { r.Key = "" },
			"set it as images.release_key"},
		"a file that is gone":    {func(s *releasetest.Server, _ *images.Release) { delete(s.Files, rootfsName) }, "does not have it: look at images.upstream"},
		"a list that is gone":    {func(s *releasetest.Server, _ *images.Release) { delete(s.Files, release.SumsFile) }, "does not have it: look at images.upstream"},
		"a huge list":            {func(s *releasetest.Server, _ *images.Release) { s.Files[release.SumsFile] = make([]byte, 2<<20) }, "more than 1048576 bytes"},
		"an upstream that fails": {func(s *releasetest.Server, _ *images.Release) { s.Broken = http.StatusBadGateway }, "502"},
		"a transfer that brings nothing": {func(s *releasetest.Server, _ *images.Release) { s.Cut, s.Freeze = 250<<10, 0; s.NoRanges = true },
			"run it again to go on"},
	} {
		t.Run(name, func(t *testing.T) {
			srv, r := upstream(t)
			c.change(srv, &r)
			dir := t.TempDir()
			s, err := images.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if file, err := s.Pull(t.Context(), r, "x86_64", quick()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %v; want %q", file, err, c.want)
			}
			kept, err := (func() ([]images.Blob, error) {
				files, err := images.Open(filepath.Join(dir, "release"))
				if err != nil {
					return nil, err
				}
				return files.List()
			})()
			if err != nil || len(kept) != 0 {
				t.Errorf("kept %v, %v; want nothing", kept, err)
			}
		})
	}
}

// Whoever changes the kept list or the kept file gains nothing.
func TestPulledChecksAgain(t *testing.T) {
	srv, r := upstream(t)
	dir := t.TempDir()
	s, err := images.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pulled(r, "x86_64"); !errors.Is(err, images.ErrMissing) || !strings.Contains(err.Error(), "provision images pull") {
		t.Errorf("before the pull: %v, want ErrMissing and what to do", err)
	}
	file, err := s.Pull(t.Context(), r, "x86_64", quick())
	if err != nil {
		t.Fatal(err)
	}
	damage(t, file)
	if _, err := s.Pulled(r, "x86_64"); !errors.Is(err, images.ErrMissing) || !errors.Is(err, images.ErrDamaged) {
		t.Errorf("with a damaged file: %v", err)
	}
	if again, err := s.Pull(t.Context(), r, "x86_64", quick()); err != nil || again != file {
		t.Errorf("pull after damage: %s, %v", again, err)
	}
	list := filepath.Join(dir, "release", testRelease+"-"+release.SumsFile)
	damage(t, list)
	if _, err := s.Pulled(r, "x86_64"); !errors.Is(err, images.ErrMissing) || !errors.Is(err, release.ErrSignature) {
		t.Errorf("with a changed list: %v", err)
	}
	srv.Asked()
	if again, err := s.Pull(t.Context(), r, "x86_64", quick()); err != nil || again != file {
		t.Errorf("pull after that: %s, %v", again, err)
	}
	if asked := srv.Asked(); slices.Contains(asked, rootfsName) {
		t.Errorf("asked for %q: the file was right", asked)
	}
}
