package images_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/images"
)

// tree lists all files below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, err = filepath.Rel(dir, name)
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCollect(t *testing.T) {
	srv, r := upstream(t)
	dir := t.TempDir()
	s, err := images.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	in := inputs(t)
	in.Repositories = repository(t, kernelFiles("usr/lib"), tools()...)
	if _, err := s.Pull(t.Context(), r, "x86_64", quick()); err != nil {
		t.Fatal(err)
	}
	image, err := s.Assemble(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	keep := images.Keep{Arches: []string{"x86_64"}, Release: r}
	if done, err := s.Collect(t.Context(), keep); err != nil || done != (images.Collected{}) {
		t.Fatalf("Collect of what is all needed: %+v, %v", done, err)
	}
	before := tree(t, dir)

	// What comes on top: another image for the same machines, another release, a half file, a damaged one.
	other := in
	other.Agent, other.Packages = []byte("another agent"), []string{"cryptsetup"}
	superseded, err := s.Assemble(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Assemble(t.Context(), in); err != nil || again != image {
		t.Fatalf("Assemble again: %+v, %v; want %+v", again, err, image)
	}
	arm, err := s.Pull(t.Context(), r, "aarch64", quick())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"release/.part-" + sumOf([]byte("x")), "release/20230101-sha256sum.txt", sumOf([]byte("y")) + ".damaged", "parts/.new-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	held, err := s.Hold(superseded.Initrd, superseded.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	// Another process sees the hold as well.
	second, err := images.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	done, err := second.Collect(t.Context(), keep)
	if err != nil || done.Held != 1 || done.Removed == 0 || done.Freed == 0 {
		t.Errorf("Collect = %+v, %v; want one file held: the kernel is needed in any case", done, err)
	}
	content(t, s, superseded.Initrd)
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if done, err := second.Collect(t.Context(), keep); err != nil || done.Held != 0 || done.Removed != 1 {
		t.Errorf("Collect after the hold = %+v, %v; want one file removed", done, err)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(arm); err == nil {
		t.Error("the other machines' tarball is still there")
	}
	if got, err := s.Assembled(); err != nil || len(got) != 1 || got[0] != image {
		t.Errorf("Assembled = %+v, %v", got, err)
	}
	srv.Close()
	if _, err := s.Pull(t.Context(), r, "x86_64", quick()); err != nil {
		t.Errorf("the tarball that is needed: %v", err)
	}
	// Nothing is needed any more.
	if _, err := s.Collect(t.Context(), images.Keep{}); err != nil {
		t.Fatal(err)
	}
	if left, err := s.List(); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v; want nothing", left, err)
	}
	if _, err := s.Hold(image.Kernel); !errors.Is(err, images.ErrMissing) {
		t.Errorf("Hold of what is gone: %v", err)
	}
}

// A NETBOOT tarball's files belong to no image and stay as long as the tarball
// is configured.
func TestCollectKeepsNetboot(t *testing.T) {
	s := open(t)
	file := filepath.Join(t.TempDir(), "netboot.tar.gz")
	if err := os.WriteFile(file, whole(t), 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := s.Netboot(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Collect(t.Context(), images.Keep{Netboot: file}); err != nil {
		t.Fatal(err)
	}
	content(t, s, n.Kernel)
	if done, err := s.Collect(t.Context(), images.Keep{}); err != nil || done.Removed != 3 {
		t.Errorf("Collect = %+v, %v; want kernel, initrd and their recipe removed", done, err)
	}
}
