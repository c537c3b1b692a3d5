package images_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"provision.internal/images"
	"provision.internal/images/imagestest"
	"provision.internal/xbps"
)

// fromVoid are the inputs of an image out of a mirror.
func fromVoid(t testing.TB, s *images.Store, v *imagestest.Void, f *images.Fetcher, arch string) (images.Inputs, error) {
	t.Helper()
	keys, err := xbps.LoadKeys(v.Keys)
	if err != nil {
		t.Fatal(err)
	}
	in := inputs(t)
	in.Arch, in.Repositories, in.Packages = arch, nil, []string{"mdadm"}
	for _, folder := range xbps.Folders(arch) {
		r, err := s.Remote(t.Context(), f, v.URL+"/"+folder, arch, keys)
		if err != nil {
			return in, err
		}
		in.Repositories = append(in.Repositories, r)
	}
	in.Rootfs, err = s.Pull(t.Context(), images.Release{Name: v.Release, Key: v.ReleaseKey, Upstream: v.URL}, arch, f)
	return in, err
}

// Void's files make an image, for every machine and both C libraries; each is
// fetched once, and all of it may be done before the network goes.
func TestAssembleFromVoid(t *testing.T) {
	arches := []string{"x86_64", "x86_64-musl", "aarch64", "aarch64-musl"}
	v := imagestest.NewVoid(t, arches...)
	for _, arch := range arches {
		s := open(t)
		f := quick()
		in, err := fromVoid(t, s, v, f, arch)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Fetch(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		asked := v.Asked()
		for _, name := range []string{"linux6.12-" + imagestest.KernelRelease, "linux-firmware-network-2025_1", "mdadm-4.3_1"} {
			if n := count(asked, name+"."+arch+".xbps"); n != 1 {
				t.Errorf("%s: %s was asked for %d times, want once: %q", arch, name, n, asked)
			}
		}
		if n := count(asked, "libc-2.41_1."+arch+".xbps"); n != 0 {
			t.Errorf("%s: asked for the C library, which the ROOTFS has", arch)
		}
		v.Down(true)
		var notes []string
		f.Note = func(text string) { notes = append(notes, text) }
		if in, err = fromVoid(t, s, v, f, arch); err != nil {
			t.Fatal(err)
		}
		if len(notes) != 2 || !strings.Contains(notes[0], "going on with the index of the last time") {
			t.Errorf("notes %q, want one for each repository", notes)
		}
		image, err := s.Assemble(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		v.Down(false)
		userland := unpackUserland(t, content(t, s, image.Userland))
		if got := userland["usr/bin/mdadm"]; !strings.HasSuffix(got, "mdadm for "+arch) {
			t.Errorf("%s: mdadm is %q", arch, got)
		}
		if got := userland["usr/bin/sfdisk"]; !strings.HasSuffix(got, "sfdisk for "+arch) {
			t.Errorf("%s: sfdisk is %q", arch, got)
		}
		v.Asked()
	}
}

func count(all []string, name string) (n int) {
	for _, a := range all {
		if a == name {
			n++
		}
	}
	return n
}

func TestRemoteRefuses(t *testing.T) {
	kernel := "linux6.12-" + imagestest.KernelRelease + ".x86_64.xbps"
	rewrite := func(t *testing.T, v *imagestest.Void, name string, change func([]byte) []byte) {
		t.Helper()
		file := filepath.Join(v.Dir, "current", name)
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, change(b), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	flip := func(b []byte) []byte {
		b[len(b)/2] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		change func(*testing.T, *imagestest.Void)
		is     error
		want   string
	}{
		"a changed package":   {func(t *testing.T, v *imagestest.Void) { rewrite(t, v, kernel, flip) }, nil, kernel + " is not what was signed"},
		"a changed signature": {func(t *testing.T, v *imagestest.Void) { rewrite(t, v, kernel+".sig2", flip) }, xbps.ErrSignature, kernel},
		"an endless signature": {func(t *testing.T, v *imagestest.Void) {
			rewrite(t, v, kernel+".sig2", func([]byte) []byte { return make([]byte, 9<<10) })
		}, nil, "more than 8192 bytes"},
		"a vanished package":   {func(t *testing.T, v *imagestest.Void) { remove(t, filepath.Join(v.Dir, "current", kernel)) }, images.ErrFetch, kernel},
		"a vanished signature": {func(t *testing.T, v *imagestest.Void) { remove(t, filepath.Join(v.Dir, "current", kernel+".sig2")) }, images.ErrFetch, kernel + ".sig2"},
		"no index":             {func(t *testing.T, v *imagestest.Void) { remove(t, filepath.Join(v.Dir, "current/x86_64-repodata")) }, images.ErrFetch, "current/x86_64-repodata"},
		"an index of something": {func(t *testing.T, v *imagestest.Void) {
			rewrite(t, v, "x86_64-repodata", func([]byte) []byte { return []byte("<html>") })
		}, nil, "current/x86_64-repodata"},
		"no trusted key": {func(t *testing.T, v *imagestest.Void) { v.Keys = t.TempDir() }, xbps.ErrKey, "current/x86_64-repodata"},
	} {
		t.Run(name, func(t *testing.T) {
			v := imagestest.NewVoid(t, "x86_64")
			c.change(t, v)
			dir := t.TempDir()
			s, err := images.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			in, err := fromVoid(t, s, v, quick(), "x86_64")
			if err == nil {
				_, err = s.Assemble(t.Context(), in)
			}
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %v with %q", err, c.is, c.want)
			}
			if left := tree(t, dir); slices.ContainsFunc(left, func(name string) bool { return strings.Contains(name, ".part-") }) {
				t.Errorf("half files are left: %q", left)
			}
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}
