package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"provision.internal/xbps"
)

// FuzzRootfs sends anything through the reader of ROOTFS tarballs: what comes out unpacks
// inside, and a refusal leaves nothing in the store.
func FuzzRootfs(f *testing.F) {
	for _, h := range []tar.Header{
		{Name: "usr/bin/sh", Typeflag: tar.TypeReg, Size: 2},
		{Name: "usr/bin/", Typeflag: tar.TypeDir},
		{Name: "lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"},
		{Name: "usr/out", Typeflag: tar.TypeSymlink, Linkname: "../../etc"},
		{Name: "usr/hard", Typeflag: tar.TypeLink, Linkname: "usr/bin/sh"},
		{Name: "dev/null", Typeflag: tar.TypeChar},
		{Name: xbps.DatabaseFile, Typeflag: tar.TypeReg, Size: 2},
	} {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if err := w.WriteHeader(&h); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			f.Fatal(err)
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(buf.Bytes())
	}
	usual := maxRootfs
	maxRootfs = 1 << 20
	f.Cleanup(func() { maxRootfs = usual })
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "rootfs")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(filepath.Join(dir, "store"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.strip(context.Background(), file)
		if err != nil {
			if left, _ := filepath.Glob(filepath.Join(s.dir, ".new-*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			return
		}
		inspect(t, s, m.Blobs["rootfs"])
	})
}

// inspect reads frames as the agent does.
func inspect(t *testing.T, s *Store, b Blob) {
	t.Helper()
	f, err := s.File(b.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return // frames have no end of their own
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		if !filepath.IsLocal(name) || h.Uid != 0 || h.ModTime.Unix() > 0 {
			t.Errorf("%+v", h)
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeDir:
		case tar.TypeLink:
			if !filepath.IsLocal(h.Linkname) {
				t.Errorf("%s is a hard link to %q", h.Name, h.Linkname)
			}
		case tar.TypeSymlink:
			if to := h.Linkname; !filepath.IsAbs(to) && !filepath.IsLocal(filepath.Join(filepath.Dir(name), to)) {
				t.Errorf("%s leads to %q", h.Name, to)
			}
		default:
			t.Errorf("%s has the type %q", h.Name, h.Typeflag)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 5-9/10", "bytes */10", "bytes 0-0/*", "bytes 99999999999999999999-1/2", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if from, total := contentRange(text); from < -1 || total < -1 {
			t.Errorf("contentRange(%q) = %d, %d", text, from, total)
		}
	})
}
