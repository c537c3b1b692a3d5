package xbps

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxSignature is the size of a signature by a key of 64 Kibit: nobody's.
const maxSignature = 8 << 10

// Repository is one repository folder on the disk, with the keys that it is
// held to.
type Repository struct {
	Dir   string
	Index *Index
	keys  Keys
}

// OpenRepository reads the index for arch in dir. ErrKey is wrapped when the
// repository is unsigned or its key is not one of keys.
func OpenRepository(dir, arch string, keys Keys) (*Repository, error) {
	name := filepath.Join(dir, IndexName(arch))
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	defer f.Close()
	index, err := ReadIndex(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := index.Trusted(keys); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Repository{Dir: dir, Index: index, keys: keys}, nil
}

// Trusted returns ErrKey, wrapped with what to do, unless the key that the repository
// is signed with is one of keys.
func (x *Index) Trusted(keys Keys) error {
	if x.Key == nil {
		return fmt.Errorf("%w: the repository is unsigned", ErrKey)
	}
	fp := x.Key.Fingerprint()
	switch k, ok := keys[fp]; {
	case !ok:
		return fmt.Errorf("%w: %s; put its file among the trusted keys if it is right", ErrKey, fp)
	// A fingerprint is an MD5: two keys can be made to share one.
	case !k.Public.Equal(x.Key.Public):
		return fmt.Errorf("%w: the repository's key has the fingerprint %s of a trusted one but is another", ErrKey, fp)
	}
	return nil
}

// Open opens the file of p after its signature, SHA-256 and size are found right.
func (r *Repository) Open(p Package) (*os.File, error) {
	f, err := os.Open(filepath.Join(r.Dir, p.File()))
	if err != nil {
		return nil, fmt.Errorf("package: %w", err)
	}
	if err := r.verify(f, p); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return f, nil
}

func (r *Repository) verify(f *os.File, p Package) error {
	signature, err := readSmall(f.Name() + ".sig2")
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if err := VerifyPackage(p, [sha256.Size]byte(h.Sum(nil)), signature, r.keys, r.Index.Key.Fingerprint()); err != nil {
		return err
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// VerifyPackage checks what a package file's digest was found to be, against
// its signature by the key fingerprint and against the index's hash. The hash matters although the
// signature is right: it ties the file to this index, so that an older package
// by the same key cannot stand in.
func VerifyPackage(p Package, digest [sha256.Size]byte, signature []byte, keys Keys, fingerprint string) error {
	if err := keys.Verify(fingerprint, digest, signature); err != nil {
		return err
	}
	if got := hex.EncodeToString(digest[:]); got != p.SHA256 {
		return fmt.Errorf("%w: it is %s, wanted %s", ErrHash, got, p.SHA256)
	}
	return nil
}

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSignature+1))
	if err == nil && len(b) > maxSignature {
		err = errors.New("too large to be one")
	}
	return b, err
}
