package xbps

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Bounds on one tarball: what is remembered of each file costs memory.
const (
	maxEntries   = 2 << 20
	maxPaths     = 256 << 20 // bytes of all paths together
	maxComponent = 255       // NAME_MAX of Linux
)

// Tarball reads a tar file from someone else, in any compression. It refuses
// what would write outside of the tree that it is unpacked to, or make devices
// there: see Next.
type Tarball struct {
	stream io.ReadCloser
	tar    *tar.Reader
	seen   map[string]fs.FileMode // type of what each path is
	paths  int                    // bytes of them
	left   int64                  // that files may still have
	limit  int64
}

// OpenTarball reads r, which may become at most limit bytes when it is decompressed,
// holes in its files included.
func OpenTarball(r io.Reader, limit int64) (*Tarball, error) {
	stream, err := Decompress(r, limit)
	if err != nil {
		return nil, err
	}
	return &Tarball{stream: stream, tar: tar.NewReader(stream), seen: map[string]fs.FileMode{}, left: limit, limit: limit}, nil
}

// Next goes to the next file, io.EOF at the end. Errors are: an absolute
// path or one with "..", a path through a symbolic link of the same tarball, a file
// given twice, a hard link to anything but an earlier regular file, a device,
// pipe or socket, and more or larger files than the limits allow. The tree's root is skipped.
func (t *Tarball) Next() (File, error) {
	for {
		h, err := t.tar.Next()
		if err == io.EOF {
			// What a compression checks comes after the archive's end.
			if _, err := io.Copy(io.Discard, t.stream); err != nil {
				return File{}, fmt.Errorf("after its last file: %w", err)
			}
		}
		if err != nil {
			return File{}, err
		}
		f, err := t.file(h)
		if err != nil {
			return File{}, fmt.Errorf("%q: %w", h.Name, err)
		}
		if f.Path != "" {
			return f, nil
		}
	}
}

func (t *Tarball) file(h *tar.Header) (File, error) {
	name, err := cleanPath(h.Name)
	if err != nil {
		return File{}, err
	}
	f := File{Path: name, UID: h.Uid, GID: h.Gid, Mode: h.FileInfo().Mode() &^ fs.ModeType}
	switch h.Typeflag {
	case tar.TypeReg:
		// A sparse file says a size for which no bytes need come.
		if f.Size = h.Size; f.Size > t.left {
			return File{}, fmt.Errorf("more than %d bytes when decompressed", t.limit)
		}
		t.left -= f.Size
	case tar.TypeDir:
		f.Mode |= fs.ModeDir
	case tar.TypeSymlink:
		f.Mode |= fs.ModeSymlink
		if f.Target = h.Linkname; f.Target == "" || strings.ContainsRune(f.Target, 0) {
			return File{}, errors.New("symbolic link without a target")
		}
	case tar.TypeLink:
		if f.Link, err = cleanPath(h.Linkname); err != nil {
			return File{}, fmt.Errorf("hard link: %w", err)
		}
		if mode, ok := t.seen[f.Link]; !ok || !mode.IsRegular() {
			return File{}, fmt.Errorf("hard link to %q, which is no earlier file of the tarball", h.Linkname)
		}
	default:
		return File{}, fmt.Errorf("files of the type %q are refused", h.Typeflag)
	}
	if name == "" && !f.Mode.IsDir() {
		return File{}, errors.New("the root is no directory")
	}
	return f, t.remember(f)
}

func (t *Tarball) remember(f File) error {
	if len(t.seen) >= maxEntries {
		return fmt.Errorf("more than %d files", maxEntries)
	}
	if t.paths += len(f.Path); t.paths > maxPaths {
		return fmt.Errorf("the paths alone have more than %d bytes", maxPaths)
	}
	for i, c := range f.Path {
		if c != '/' {
			continue
		}
		if mode, ok := t.seen[f.Path[:i]]; ok && !mode.IsDir() {
			return fmt.Errorf("its parent %q is no directory", f.Path[:i])
		}
	}
	if mode, ok := t.seen[f.Path]; ok && !(mode.IsDir() && f.Mode.IsDir()) {
		return errors.New("given twice")
	}
	t.seen[f.Path] = f.Mode.Type()
	return nil
}

// Read reads the content of the file that Next returned last.
func (t *Tarball) Read(p []byte) (int, error) { return t.tar.Read(p) }

// Close releases the decoder.
func (t *Tarball) Close() error { return t.stream.Close() }
