package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Reader reads a bundle whose maker is trusted.
type Reader struct {
	Manifest Manifest
	Key      ed25519.PublicKey // of the maker

	tar  *tar.Reader
	next int // index of the file after the current one
	sum  hash.Hash
	left int64
}

// Open reads the manifest and asks trust about the key that signed it, before
// anything else of r is read.
func Open(r io.Reader, trust func(key ed25519.PublicKey, m Manifest) error) (*Reader, error) {
	b := &Reader{tar: tar.NewReader(r)}
	text, err := b.member(manifestName, maxManifest)
	if err != nil {
		return nil, err
	}
	sig, err := b.member(sigName, 4<<10)
	if err != nil {
		return nil, err
	}
	var s signed
	if err := strict(sig, &s); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, sigName, err)
	}
	if b.Key, err = ParseKey(s.Key); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !ed25519.Verify(b.Key, text, s.Signature) {
		return nil, fmt.Errorf("%w for the key %s", ErrSignature, s.Key)
	}
	if err := strict(text, &b.Manifest); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, manifestName, err)
	}
	if err := b.Manifest.check(); err != nil {
		return nil, err
	}
	return b, trust(b.Key, b.Manifest)
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("it goes on after its end")
	}
	return nil
}

// member reads one of the two members before the files.
func (b *Reader) member(name string, limit int64) ([]byte, error) {
	h, err := b.header(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if h.Size > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrFormat, name, h.Size)
	}
	text, err := io.ReadAll(b.tar)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return text, nil
}

// header goes to the next member of the tar, which must be a regular file called name.
func (b *Reader) header(name string) (*tar.Header, error) {
	h, err := b.tar.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("it ends where %s should be", name)
	case err != nil:
		return nil, err
	case h.Name != name || h.Typeflag != tar.TypeReg:
		return nil, fmt.Errorf("%q of the type %q where %s should be", h.Name, h.Typeflag, name)
	}
	return h, nil
}

// Next goes to the next file, io.EOF after the last. Each must be where, and as
// large as, the manifest says.
func (b *Reader) Next() (File, error) {
	if b.sum != nil {
		if _, err := io.Copy(io.Discard, b); err != nil {
			return File{}, err
		}
	}
	b.sum = nil
	if b.next == len(b.Manifest.Files) {
		if h, err := b.tar.Next(); err == nil {
			return File{}, fmt.Errorf("%w: %q is not in the manifest", ErrBroken, h.Name)
		} else if !errors.Is(err, io.EOF) {
			return File{}, fmt.Errorf("%w: %w", ErrBroken, err)
		}
		return File{}, io.EOF
	}
	f := b.Manifest.Files[b.next]
	h, err := b.header(f.Name)
	if err != nil {
		return File{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if h.Size != f.Size {
		return File{}, fmt.Errorf("%w: %s has %d bytes, the manifest says %d", ErrBroken, f.Name, h.Size, f.Size)
	}
	b.next, b.sum, b.left = b.next+1, sha256.New(), f.Size
	return f, nil
}

// Read reads the file that Next returned last. It ends with io.EOF only when the content was
// what the manifest says.
func (b *Reader) Read(p []byte) (int, error) {
	if b.sum == nil {
		return 0, io.EOF
	}
	n, err := b.tar.Read(p)
	b.sum.Write(p[:n])
	b.left -= int64(n)
	if err == nil {
		return n, nil
	}
	f := b.Manifest.Files[b.next-1]
	switch {
	case !errors.Is(err, io.EOF) || b.left > 0:
		return n, fmt.Errorf("%w: %s: %w", ErrBroken, f.Name, io.ErrUnexpectedEOF)
	case hex.EncodeToString(b.sum.Sum(nil)) != f.SHA256:
		return n, fmt.Errorf("%w: %s has the SHA-256 %x, the manifest says %s", ErrBroken, f.Name, b.sum.Sum(nil), f.SHA256)
	}
	return n, io.EOF
}
