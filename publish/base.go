package publish

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// ErrBase means that the base image is missing or cannot be used.
var ErrBase = errors.New("base image")

// base is the image below the playbooks. That of a file is pushed once, under a
// tag made of key, and taken from the registry ever after: its layers need not be
// compressed again to learn that the registry has them.
type base struct {
	name  string // as configured
	key   string // of a file: a hash of what it holds; empty for a reference
	image func() (v1.Image, error)
	close func() error
}

// file reports where the base is when it is a file: its name begins as a path
// does, or there is such a file.
func (p Publisher) file() (string, bool) {
	path := p.Base
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.Folder, path)
	}
	if filepath.IsAbs(p.Base) || strings.HasPrefix(p.Base, "./") || strings.HasPrefix(p.Base, "../") {
		return path, true
	}
	_, err := os.Stat(path)
	return path, err == nil
}

// openBase finds the base image. Of a file no more is read than tells what it is.
func (p Publisher) openBase(ctx context.Context, reg *registry) (base, error) {
	b := base{name: p.Base, close: func() error { return nil }}
	if p.Base == "" {
		return b, fmt.Errorf("%w: config.base is missing: name an image with Ansible in it, or a file: a tarball of docker save, an OCI layout, or a root file system", ErrBase)
	}
	path, isFile := p.file()
	if !isFile {
		ref, err := name.ParseReference(p.Base)
		if err != nil {
			return b, fmt.Errorf("%w: %s is no file in %s, and no image in a registry either: %w", ErrBase, p.Base, p.Folder, err)
		}
		image, err := reg.image(ctx, ref, p.platform())
		if err != nil {
			return b, fmt.Errorf("%w %s: %w", ErrBase, p.Base, err)
		}
		b.image = func() (v1.Image, error) { return image, nil }
		return b, nil
	}
	var err error
	if info, statErr := os.Stat(path); statErr != nil {
		err = statErr
	} else if info.IsDir() {
		err = b.layout(path, p.platform())
	} else {
		err = b.archive(path, p.platform())
	}
	if err != nil {
		return b, errors.Join(fmt.Errorf("%w %s: %w", ErrBase, p.Base, err), b.close())
	}
	return b, nil
}

// archive opens a tarball: what docker save writes, an OCI layout, or the files
// of a root file system.
func (b *base) archive(path string, platform v1.Platform) error {
	open := func() (io.ReadCloser, error) { return openPlain(path) }
	kind, err := kindOf(open)
	if err != nil {
		return err
	}
	switch kind {
	case dockerSave:
		image, err := tarball.Image(open, nil)
		if err != nil {
			return fmt.Errorf("it is not what docker save writes of one image: %w", err)
		}
		config, err := image.RawConfigFile()
		if err != nil {
			return err
		}
		sum := sha256.Sum256(config) // which names the layers' hashes
		b.key, b.image = hex.EncodeToString(sum[:]), func() (v1.Image, error) { return image, nil }
		return nil
	case ociLayout:
		dir, err := unpackLayout(open)
		b.close = func() error { return os.RemoveAll(dir) }
		if err != nil {
			return err
		}
		return b.layout(dir, platform)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	b.key = hex.EncodeToString(sum.Sum(nil))
	b.image = func() (v1.Image, error) { return rootfs(open, platform) }
	return nil
}

// rootfs makes an image of the tar archive of a root file system.
func rootfs(open tarball.Opener, platform v1.Platform) (v1.Image, error) {
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.DockerLayer), tarball.WithCompressionLevel(gzip.DefaultCompression))
	if err != nil {
		return nil, err
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant, Created: v1.Time{Time: epoch},
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "root file system"}})
}

// kind is what a tarball holds.
type kind int

const (
	rootFiles kind = iota
	dockerSave
	ociLayout
)

// kindOf looks for the files that tell. What newer Dockers save is both a saved
// image and an OCI layout; as the former it says which image is meant.
func kindOf(open tarball.Opener) (kind, error) {
	r, err := open()
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }() // only read
	found := rootFiles
	for archive, n := tar.NewReader(r), 0; ; n++ {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return found, nil
		case err != nil:
			return 0, fmt.Errorf("it is no tar archive: %w", err)
		}
		switch strings.TrimPrefix(h.Name, "./") {
		case "manifest.json":
			var m tarball.Manifest
			if json.NewDecoder(io.LimitReader(archive, 1<<20)).Decode(&m) == nil && len(m) > 0 && m[0].Config != "" {
				return dockerSave, nil
			}
		case "oci-layout":
			found = ociLayout
		}
	}
}

// openPlain opens a file and unpacks it when it is compressed. The packings are
// known by their first bytes.
func openPlain(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewReaderSize(f, 1<<16)
	head, err := buffered.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	var plain io.Reader
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		plain, err = gzip.NewReader(buffered)
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		plain, err = xz.NewReader(buffered)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		var d *zstd.Decoder
		if d, err = zstd.NewReader(buffered); err == nil {
			return &unpacked{Reader: d, close: func() error { d.Close(); return f.Close() }}, nil
		}
	default:
		// As it is: the archive's reader then skips over what it need not read.
		_, err = f.Seek(0, io.SeekStart)
		return f, err
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &unpacked{Reader: plain, close: f.Close}, nil
}

type unpacked struct {
	io.Reader
	close func() error
}

func (u *unpacked) Close() error { return u.close() }

// platformText is p as people write it.
func platformText(p *v1.Platform) string {
	if p == nil {
		return "unknown platform"
	}
	text := cmp.Or(p.OS, "?") + "/" + cmp.Or(p.Architecture, "?")
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	return text
}
