package xbps

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Index is what a repository's <arch>-repodata file holds. It is not signed:
// only the package files are, by Key.
type Index struct {
	Packages map[string]Package // by name
	Key      *Key               // the key that the repository says it is signed with; nil for none
}

// IndexName is the file name of a repository's index for an architecture.
func IndexName(arch string) string { return arch + "-repodata" }

// ReadIndex reads a repository's index, which may have at most 128 MiB.
func ReadIndex(r io.Reader) (*Index, error) {
	stream, err := Decompress(r, maxPlist)
	if err != nil {
		return nil, fmt.Errorf("repository index: %w", err)
	}
	defer stream.Close()
	x := &Index{Packages: map[string]Package{}}
	if err := x.read(tar.NewReader(stream)); err != nil {
		return nil, fmt.Errorf("repository index: %w", err)
	}
	return x, nil
}

// read takes the members in their order. An empty one stands for an empty
// dictionary; the third, stage.plist, is not yet published and is not read.
func (x *Index) read(t *tar.Reader) error {
	index, err := member(t, "index.plist")
	if err != nil {
		return err
	}
	if len(index) > 0 {
		if err := unmarshal(index, &x.Packages); err != nil {
			return fmt.Errorf("index.plist: %w", err)
		}
	}
	for name, p := range x.Packages {
		if err := p.check(); err != nil {
			return err
		}
		if p.Name() != name {
			return fmt.Errorf("%s is listed as %q", p.Pkgver, name)
		}
	}
	meta, err := member(t, "index-meta.plist")
	if err != nil {
		return err
	}
	// An unsigned repository has an empty member, or this word from old tools.
	if len(meta) == 0 || string(meta) == "DEADBEEF" {
		return nil
	}
	k, err := ParseKey(meta)
	if err != nil {
		return fmt.Errorf("index-meta.plist: %w", err)
	}
	x.Key = &k
	return nil
}

func member(t *tar.Reader, want string) ([]byte, error) {
	h, err := t.Next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s is missing", want)
	}
	if err != nil {
		return nil, err
	}
	if h.Name != want {
		return nil, fmt.Errorf("%q where %s should be", h.Name, want)
	}
	b, err := io.ReadAll(t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", want, err)
	}
	return b, nil
}

// Write writes x in the form that ReadIndex and XBPS read, compressed with zstd. The
// same index gives the same bytes.
func (x *Index) Write(w io.Writer) error {
	index, err := MarshalPlist(x.Packages)
	if err != nil {
		return err
	}
	var meta []byte
	if x.Key != nil {
		f, err := x.Key.file()
		if err != nil {
			return err
		}
		f.SignatureType = "rsa"
		if meta, err = MarshalPlist(f); err != nil {
			return err
		}
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, m := range []struct {
		name string
		body []byte
	}{{"index.plist", index}, {"index-meta.plist", meta}, {"stage.plist", nil}} {
		if err := writeMember(t, m.name, 0o644, m.body); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// Names returns the names of all packages, sorted.
func (x *Index) Names() []string { return slices.Sorted(maps.Keys(x.Packages)) }

func writeMember(t *tar.Writer, name string, mode int64, body []byte) error {
	h := &tar.Header{Name: name, Mode: mode, Size: int64(len(body)), Uname: "root", Gname: "root", Format: tar.FormatUSTAR}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(t, bytes.NewReader(body))
	return err
}
