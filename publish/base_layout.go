package publish

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// layout opens the OCI layout in the folder dir.
func (b *base) layout(dir string, platform v1.Platform) error {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		return fmt.Errorf("the folder is no OCI layout: %w", err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return fmt.Errorf("it is no OCI layout: %w", err)
	}
	image, err := choose(index, platform)
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	b.key, b.image = digest.Hex, func() (v1.Image, error) { return image, nil }
	return nil
}

// maxDepth bounds indexes within indexes: one for the tag and one for the
// platforms are usual.
const maxDepth = 4

// choose finds the one image for platform.
func choose(index v1.ImageIndex, platform v1.Platform) (v1.Image, error) {
	var fit []v1.Image
	var have []string
	var look func(v1.ImageIndex, int) error
	look = func(index v1.ImageIndex, depth int) error {
		m, err := index.IndexManifest()
		if err != nil {
			return err
		}
		for _, d := range m.Manifests {
			switch {
			case d.MediaType.IsIndex() && depth < maxDepth:
				inner, err := index.ImageIndex(d.Digest)
				if err == nil {
					err = look(inner, depth+1)
				}
				if err != nil {
					return err
				}
			case d.MediaType.IsImage():
				image, err := index.Image(d.Digest)
				if err != nil {
					return err
				}
				p, err := platformOf(image, d)
				if err != nil {
					return err
				}
				have = append(have, platformText(p))
				if p.Satisfies(platform) {
					fit = append(fit, image)
				}
			}
		}
		return nil
	}
	if err := look(index, 0); err != nil {
		return nil, err
	}
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		return nil, fmt.Errorf("it has no image for %s, only for: %s", platformText(&platform), strings.Join(have, ", "))
	}
	return nil, fmt.Errorf("it has %d images for %s: leave one", len(fit), platformText(&platform))
}

// platformOf is what the index says, or else the image itself.
func platformOf(image v1.Image, d v1.Descriptor) (*v1.Platform, error) {
	if d.Platform != nil {
		return d.Platform, nil
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	return config.Platform(), nil
}

// inLayout is what an OCI layout has, and all that is unpacked of one.
var inLayout = regexp.MustCompile(`^(oci-layout|index\.json|blobs/[a-z0-9]+/[0-9a-f]{32,128})$`)

// unpackLayout unpacks the OCI layout in a tarball into a folder of its own, which
// the caller removes, also after an error.
func unpackLayout(open tarball.Opener) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "provision-base-"); err != nil {
		return "", err
	}
	r, err := open()
	if err != nil {
		return dir, err
	}
	defer func() { _ = r.Close() }() // only read
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return dir, nil
		case err != nil:
			return dir, err
		}
		name := strings.TrimPrefix(h.Name, "./")
		if h.Typeflag != tar.TypeReg || !inLayout.MatchString(name) {
			continue
		}
		if err := writeFile(filepath.Join(dir, name), archive); err != nil {
			return dir, err
		}
	}
}

func writeFile(name string, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
