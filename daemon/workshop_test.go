package daemon

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"provision.internal/images"
	"provision.internal/images/imagestest"
)

// workshopFor opens the workshop of a site that takes everything from v.
func workshopFor(t *testing.T, v *imagestest.Void, section string) (*Workshop, *[]string) {
	t.Helper()
	cfg, err := parse(t, withImages(t, strings.Join([]string{
		"upstream: \"" + v.URL + "\"", "release: " + v.Release, "release_key: " + v.ReleaseKey, "keys: " + v.Keys, section,
	}, ", ")))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Server.State = t.TempDir()
	var notes []string
	w, err := OpenWorkshop(cfg, Progress{Note: func(text string) { notes = append(notes, text) }})
	if err != nil {
		t.Fatal(err)
	}
	w.agent = func(arch string) ([]byte, error) { return []byte("agent for " + arch), nil }
	return w, &notes
}

// Pull, then build without network, for two kinds of machines.
func TestWorkshop(t *testing.T) {
	v := imagestest.NewVoid(t, "x86_64-musl", "aarch64-musl")
	w, notes := workshopFor(t, v, "arch: [x86_64, aarch64], libc: musl")
	if got := w.Images(); !slices.Equal(got, []string{"x86_64-musl", "aarch64-musl"}) {
		t.Fatalf("images for %q", got)
	}
	for _, arch := range w.Images() {
		if err := w.Pull(t.Context(), arch); err != nil {
			t.Fatal(err)
		}
	}
	v.Down(true)
	for _, arch := range w.Images() {
		built, err := w.Build(t.Context(), arch)
		if err != nil {
			t.Fatal(err)
		}
		if len(built.Files) != 3 || built.Files[0].Arch != arch || built.Memory <= 0 || built.Unpacking <= built.Memory {
			t.Errorf("built %+v", built)
		}
	}
	if len(*notes) != 4 {
		t.Errorf("notes %q, want one for each repository that does not answer", *notes)
	}
	listed, err := w.List()
	if err != nil || len(listed) != 6 {
		t.Errorf("List = %+v, %v; want three files for each kind of machine", listed, err)
	}
	files, err := w.Verify()
	if err != nil || files == 0 {
		t.Errorf("Verify = %d, %v", files, err)
	}
	if done, err := w.Collect(t.Context()); err != nil || done.Removed == 0 {
		t.Errorf("Collect = %+v, %v; want the packages removed", done, err)
	}
	if left, err := w.Verify(); err != nil || left >= files {
		t.Errorf("Verify after it = %d, %v; want fewer than %d", left, err, files)
	}
	for _, im := range listed {
		name := filepath.Join(w.cfg.Server.State, "images", im.Hash)
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%s for %s is gone: %v", im.Name, im.Arch, err)
		}
	}
}

// The layouts of the roles decide which tools the installer has.
func TestWorkshopAddsToolsOfRoles(t *testing.T) {
	v := imagestest.NewVoid(t, "x86_64")
	w, _ := workshopFor(t, v, "")
	plain, err := w.Build(t.Context(), "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	role := w.cfg.Roles["worker"]
	role.Mirror = true
	w.cfg.Roles["worker"] = role
	if err := w.Pull(t.Context(), "x86_64"); err != nil {
		t.Fatal(err)
	}
	if asked := v.Asked(); !slices.Contains(asked, "mdadm-4.3_1.x86_64.xbps") {
		t.Errorf("asked for %q, want mdadm", asked)
	}
	mirrored, err := w.Build(t.Context(), "x86_64")
	if err != nil || mirrored.Files[2].Hash == plain.Files[2].Hash {
		t.Errorf("the userland is the same, %v", err)
	}
}

func TestWorkshopWithFolder(t *testing.T) {
	v := imagestest.NewVoid(t, "x86_64")
	rootfs := filepath.Join(t.TempDir(), "rootfs.tar.xz")
	if err := os.WriteFile(rootfs, imagestest.Rootfs(t, "x86_64"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := parse(t, withImages(t, "repository: "+v.Dir+", keys: "+v.Keys+", rootfs: "+rootfs))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Server.State = t.TempDir()
	w, err := OpenWorkshop(cfg, Progress{})
	if err != nil {
		t.Fatal(err)
	}
	w.agent = func(string) ([]byte, error) { return []byte("agent"), nil }
	if _, err := w.Build(t.Context(), "x86_64"); err != nil {
		t.Error(err)
	}
	if err := w.Pull(t.Context(), "x86_64"); err == nil || !strings.Contains(err.Error(), "there is nothing to pull") {
		t.Errorf("Pull: %v, want it to say that there is nothing", err)
	}
	if asked := v.Asked(); len(asked) != 0 {
		t.Errorf("asked for %q", asked)
	}
}

// A site without network says what is missing and how it comes.
func TestWorkshopWithoutUpstream(t *testing.T) {
	v := imagestest.NewVoid(t, "x86_64")
	w, _ := workshopFor(t, v, "")
	w.packages = func(context.Context, string) ([]images.Repository, error) { return nil, nil }
	w.cfg.Images.Upstream = NoUpstream
	if _, err := w.Build(t.Context(), "x86_64"); err == nil || !strings.Contains(err.Error(), "provision images import") {
		t.Errorf("Build: %v, want it to name the import", err)
	}
	if asked := v.Asked(); len(asked) != 0 {
		t.Errorf("asked for %q", asked)
	}
}

// provision check finds out beforehand what a pull would fail with.
func TestCheckRelease(t *testing.T) {
	v := imagestest.NewVoid(t, "x86_64")
	w, _ := workshopFor(t, v, "arch: [x86_64, aarch64]")
	im := w.cfg.Images
	found := checkRelease(t.Context(), im)
	if len(found) != 2 || found[0].Verdict != Good || found[1].Verdict != Bad || !strings.Contains(found[1].Text, "does not name void-aarch64-ROOTFS") {
		t.Errorf("found %+v, want one release that is good, and one without a file", found)
	}
	im.ReleaseKey = "RWT5+SoQD+dWTeOdNuc4Q/jq2+3+jpql7+JJp4WukkxTdpsZlk2EGuPj"
	if found := checkRelease(t.Context(), im); found[0].Verdict != Bad || !strings.Contains(found[0].Do, "images.release_key") {
		t.Errorf("with another key found %+v", found)
	}
	im.Upstream = NoUpstream
	if found := checkRelease(t.Context(), im); len(found) != 0 {
		t.Errorf("without upstream found %+v, want nothing", found)
	}
}
