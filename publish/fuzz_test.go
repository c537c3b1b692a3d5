package publish

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
)

// Whatever the file is, telling what it holds ends with an answer or an error, and
// an archive's entries come out below the folder of the playbooks or not at all.
func FuzzArchive(f *testing.F) {
	f.Add([]byte("no archive"))
	f.Add(pack(f, saveLayout(f, baseImage(f))))
	f.Add(squeeze(f, pack(f, f.TempDir()), withGzip))
	var outside bytes.Buffer
	w := tar.NewWriter(&outside)
	if err := errors.Join(w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "../../etc/passwd", Mode: 0o644}), w.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(outside.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		if k, err := kindOf(open); err == nil && (k < rootFiles || k > ociLayout) {
			t.Errorf("kindOf = %d", k)
		}
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		if _, err := relay(w, bytes.NewReader(b), "/ansible"); err != nil {
			return
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(&out); ; {
			h, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("what was written cannot be read: %v", err)
			}
			if h.Name != "ansible/" && !bytes.HasPrefix([]byte(h.Name), []byte("ansible/")) {
				t.Errorf("%q is outside of ansible/", h.Name)
			}
		}
	})
}
