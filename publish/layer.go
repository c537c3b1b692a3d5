package publish

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxLayer bounds the compressed files of a revision, which are held in memory.
// Playbooks are a thousandth of it.
const maxLayer = 256 << 20

// epoch is when every file of a layer was changed: Git keeps no times, and those
// of a checkout would make each image another one.
var epoch = time.Unix(0, 0).UTC()

// files is a revision as a layer.
type files struct {
	v1.Layer
	names []string // of the files and links, counted from the folder that is published
}

// layer reads the revision's files as git archive gives them, so that
// export-ignore and export-subst of .gitattributes are heeded, and lays them
// below root. Owners, times and modes are the same on every machine: root, the
// epoch, and 0644 or 0755.
func (r Revision) layer(ctx context.Context, root string, media types.MediaType) (*files, error) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&limited{&packed, maxLayer})
	w := tar.NewWriter(zip)

	pipe, archive := io.Pipe()
	done := make(chan error, 1)
	go func() {
		// The user's own settings must not change what is in an image.
		err := r.stream(ctx, archive, "-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", "core.attributesFile=/dev/null",
			"archive", "--format=tar", r.Commit)
		done <- err
		_ = archive.CloseWithError(err) // never fails
	}()
	names, err := relay(w, pipe, root)
	_ = pipe.CloseWithError(err) // never fails; git stops when nobody reads
	if from := <-done; from != nil && !errors.Is(from, err) {
		if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
			err = from
		}
	}
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: %s has no files in commit %s", ErrRevision, r.Dir, r.Commit)
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		return nil, err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(packed.Bytes())), nil
	}, tarball.WithMediaType(media))
	return &files{Layer: l, names: names}, err
}

// relay writes the entries of the tar archive from, below root.
func relay(w *tar.Writer, from io.Reader, root string) (names []string, err error) {
	for _, dir := range parents(root) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: epoch}); err != nil {
			return nil, err
		}
	}
	var last string // a folder that nothing has been seen in
	archive := tar.NewReader(from)
	for {
		h, err := archive.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if last != "" && (err != nil || !strings.HasPrefix(h.Name, last)) {
			// Git has no empty folders: this is another repository's place.
			return nil, fmt.Errorf("%w: %s is a submodule, and its files are in another repository: copy them into this one, or leave it out with export-ignore in .gitattributes",
				ErrRevision, strings.TrimSuffix(last, "/"))
		}
		if err != nil {
			break
		}
		last = ""
		out := tar.Header{Typeflag: h.Typeflag, Name: path.Join(root, path.Clean("/"+h.Name))[1:], Mode: 0o644, ModTime: epoch}
		switch h.Typeflag {
		case tar.TypeDir:
			out.Name, out.Mode, last = out.Name+"/", 0o755, h.Name
		case tar.TypeSymlink:
			out.Linkname, out.Mode = h.Linkname, 0o777
		case tar.TypeReg:
			out.Size = h.Size
			if h.Mode&0o100 != 0 {
				out.Mode = 0o755
			}
		default:
			continue // the commit's hash, as a comment
		}
		if h.Typeflag != tar.TypeDir {
			if strings.HasPrefix(path.Base(h.Name), ".wh.") {
				return nil, fmt.Errorf("%w: %s cannot be in an image, where a name with .wh. removes a file: rename it", ErrRevision, h.Name)
			}
			names = append(names, h.Name)
		}
		if err := w.WriteHeader(&out); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		if _, err := io.Copy(w, archive); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	// The rest of the archive's padding, so that git can end.
	_, err = io.Copy(io.Discard, from)
	return names, err
}

// parents lists root and the folders above it, as a tar archive has them.
func parents(root string) (all []string) {
	for ; root != "/"; root = path.Dir(root) {
		all = append(all, root[1:]+"/")
	}
	slices.Reverse(all)
	return all
}

// limited refuses what goes beyond its room.
type limited struct {
	to   io.Writer
	room int
}

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.room {
		return 0, fmt.Errorf("%w: the revision's files take more than %d MiB when compressed, which are no playbooks: leave the large ones out with export-ignore in .gitattributes",
			ErrRevision, maxLayer>>20)
	}
	l.room -= len(b)
	return l.to.Write(b)
}
