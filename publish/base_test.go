package publish

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// saveLayout writes an OCI layout with image for the platform that its
// configuration names.
func saveLayout(tb testing.TB, images ...v1.Image) string {
	tb.Helper()
	dir := tb.TempDir()
	path, err := layout.Write(dir, empty.Index)
	for _, image := range images {
		err = errors.Join(err, path.AppendImage(image))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

// pack makes a tarball of a folder.
func pack(tb testing.TB, dir string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func save(tb testing.TB, b []byte) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "base")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

func squeeze(tb testing.TB, b []byte, with func(io.Writer) (io.WriteCloser, error)) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := with(&out)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func withGzip(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
func withXZ(w io.Writer) (io.WriteCloser, error)   { return xz.NewWriter(w) }
func withZstd(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }

func TestBases(t *testing.T) {
	amd, arm := baseImage(t), baseImage(t)
	config, err := arm.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Architecture = "arm64"
	if arm, err = mutate.ConfigFile(arm, config); err != nil {
		t.Fatal(err)
	}
	docker, err := os.ReadFile(saveDocker(t, amd))
	if err != nil {
		t.Fatal(err)
	}
	layout := saveLayout(t, arm, amd)
	tree := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(tree, "etc"), 0o755), os.WriteFile(filepath.Join(tree, "etc/os-release"), []byte("ID=test\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	files := pack(t, tree)

	reg := newRegistry(t)
	ref, err := name.ParseReference(reg.host() + "/base/alpine:3")
	if err == nil {
		err = remote.Write(ref, amd)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := playbooks(t)
	for name, tt := range map[string]struct {
		base   string
		layers int // with ours
	}{
		"reference":               {ref.String(), 3},
		"docker save":             {save(t, docker), 3},
		"docker save, gzip":       {save(t, squeeze(t, docker, withGzip)), 3},
		"OCI layout":              {layout, 3},
		"OCI layout in a tarball": {save(t, pack(t, layout)), 3},
		"root file system":        {save(t, files), 2},
		"root file system, gzip":  {save(t, squeeze(t, files, withGzip)), 2},
		"root file system, xz":    {save(t, squeeze(t, files, withXZ)), 2},
		"root file system, zstd":  {save(t, squeeze(t, files, withZstd)), 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := reg.publisher(tt.base)
			out := publish(t, p, r.open("HEAD"))
			if out.Layers != tt.layers {
				t.Errorf("the image has %d layers, want %d", out.Layers, tt.layers)
			}
			image := pull(t, out.Image)
			if err := validate.Image(image); err != nil {
				t.Errorf("the image is not valid: %v", err)
			}
			config, err := image.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if config.History[0].Created.Year() != 1970 && tt.layers == 2 {
				t.Errorf("the base was made at %s, want the epoch: nobody knows when", config.History[0].Created)
			}
			if got := platformText(config.Platform()); got != "linux/amd64" {
				t.Errorf("the image is for %s, want linux/amd64", got)
			}
			if got := entries(t, image); !slices.Contains(got, "0 0644 ansible/base.yml - hosts: all\n") {
				t.Errorf("the top layer has %q", got)
			}
			again := publish(t, p, r.open("HEAD"))
			if again.New != 0 || again.Digest != out.Digest {
				t.Errorf("again: %+v, want the same and nothing new", again)
			}
		})
	}
}

// The layers of a file are not compressed again to learn that the registry has
// them: it is enough that the file is the same.
func TestTheBaseOfAFileIsPushedOnce(t *testing.T) {
	reg, r := newRegistry(t), playbooks(t)
	p := reg.publisher(saveDocker(t, baseImage(t)))
	if out := publish(t, p, r.open("HEAD")); out.New != 3 {
		t.Errorf("first: %d new layers, want 3", out.New)
	}
	p.Base = saveDocker(t, baseImage(t)) // another one
	if out := publish(t, p, r.open("HEAD")); out.New != 2 {
		t.Errorf("another base: %d new layers, want its 2", out.New)
	}
}

func TestRelativeBaseCountsFromTheFolder(t *testing.T) {
	file := saveDocker(t, baseImage(t))
	p := newRegistry(t).publisher(filepath.Base(file))
	p.Folder = filepath.Dir(file)
	publish(t, p, playbooks(t).open("HEAD"))
}
