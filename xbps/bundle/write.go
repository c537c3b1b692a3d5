package bundle

import (
	"archive/tar"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// signed is manifest.sig.
type signed struct {
	Key       string `json:"key"`
	Signature []byte `json:"signature"`
}

// Writer is a bundle that is ready to be written. Its size is known before.
type Writer struct {
	manifest        Manifest
	text, signature []byte
}

// New signs a bundle. m's Format is set.
func New(key ed25519.PrivateKey, m Manifest) (*Writer, error) {
	m.Format = format
	if err := m.check(); err != nil {
		return nil, err
	}
	text, err := m.encode()
	if err != nil {
		return nil, err
	}
	sig, err := json.Marshal(signed{FormatKey(key.Public().(ed25519.PublicKey)), ed25519.Sign(key, text)})
	if err != nil {
		return nil, err
	}
	return &Writer{m, text, sig}, nil
}

// Size is how many bytes Write writes.
func (w *Writer) Size() int64 {
	const block = 512
	padded := func(n int64) int64 { return (n + block - 1) / block * block }
	total := 2*block + padded(int64(len(w.text))) + 2*block + padded(int64(len(w.signature)))
	for _, f := range w.manifest.Files {
		total += block + padded(f.Size)
	}
	return total
}

// Write writes the bundle with the content that open gives. A file that is not what the manifest
// says is an error.
func (w *Writer) Write(to io.Writer, open func(File) (io.ReadCloser, error)) error {
	t := tar.NewWriter(to)
	for _, m := range []struct {
		name string
		body []byte
	}{{manifestName, w.text}, {sigName, w.signature}} {
		if err := t.WriteHeader(header(m.name, int64(len(m.body)))); err != nil {
			return err
		}
		if _, err := t.Write(m.body); err != nil {
			return err
		}
	}
	for _, f := range w.manifest.Files {
		if err := writeFile(t, f, open); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return t.Close()
}

func writeFile(t *tar.Writer, f File, open func(File) (io.ReadCloser, error)) error {
	r, err := open(f)
	if err != nil {
		return err
	}
	if err := t.WriteHeader(header(f.Name, f.Size)); err != nil {
		return errors.Join(err, r.Close())
	}
	sum := sha256.New()
	_, err = io.CopyN(io.MultiWriter(t, sum), r, f.Size)
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		err = errors.New("it is not what it was when the manifest was made")
	}
	return errors.Join(err, r.Close())
}

func header(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
}
