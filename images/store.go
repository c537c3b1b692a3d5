package images

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// What File fails with.
var (
	ErrMissing = errors.New("no such image")
	ErrDamaged = errors.New("the image is damaged")
)

// Blob names one stored file by its content.
type Blob struct {
	SHA256 string `json:"sha256"` // hex
	Size   int64  `json:"size"`
}

// Store is a folder of files that are named by the SHA-256 of their content.
// A file is there whole or not at all, and one whose content is no longer what
// its name says is never handed out. Safe for use by several goroutines and
// processes: Assemble, Pull and Collect wait for each other.
type Store struct {
	dir string

	mu      sync.RWMutex
	checked map[string]stamp // files whose content was found right

	used map[string]bool // recipes that the assembly under way needed
}

// Folders of a store. The first three are stores themselves.
const (
	partsDir     = "parts"     // what images are joined of
	releaseDir   = "release"   // files of Void's releases, as published
	packagesDir  = "packages"  // packages that parts are made of, where repositories are remote
	recipesDir   = "recipes"   // what was made of what
	assembledDir = "assembled" // the latest image for each architecture
)

// stamp is what changes when someone writes to a file.
type stamp struct {
	size, mtime int64
	inode       uint64
}

// Open opens the store in dir, which is made if needed. What an interrupted
// write left there is removed, unless another process may be writing it.
func Open(dir string) (*Store, error) {
	s, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	lock, err := s.tryLock()
	if err != nil || lock == nil {
		return s, err
	}
	defer lock.Close()
	for _, sub := range []string{"", partsDir, releaseDir, packagesDir} {
		left, err := filepath.Glob(filepath.Join(dir, sub, ".new-*"))
		if err != nil {
			return nil, fmt.Errorf("image store: %w", err)
		}
		for _, name := range left {
			if err := os.Remove(name); err != nil {
				return nil, fmt.Errorf("image store: %w", err)
			}
		}
	}
	return s, nil
}

func openStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	return &Store{dir: dir, checked: map[string]stamp{}, used: map[string]bool{}}, nil
}

// sub is one of the store's folders.
func (s *Store) sub(name string) (*Store, error) { return openStore(filepath.Join(s.dir, name)) }

// File opens the file with the given hash, for sendfile. Its content is checked
// when it is first asked for and whenever the file has changed since. ErrMissing
// or ErrDamaged is wrapped; a damaged file is moved aside.
func (s *Store) File(sha string) (*os.File, error) {
	if !isHash(sha) {
		return nil, fmt.Errorf("%w: %q is no SHA-256", ErrMissing, sha)
	}
	f, err := os.Open(filepath.Join(s.dir, sha))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrMissing, sha)
	}
	if err != nil {
		return nil, err
	}
	if err := s.check(f, sha, false); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// check compares f's content with its name unless it is known to be right;
// again means in any case.
func (s *Store) check(f *os.File, sha string, again bool) error {
	now, err := stampOf(f)
	if err != nil {
		return err
	}
	s.mu.RLock()
	known, ok := s.checked[sha]
	s.mu.RUnlock()
	if ok && known == now && !again {
		return nil
	}
	// One at a time: a rack that asks for the same file waits for one reading of it.
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.checked[sha]; ok && known == now && !again {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("image %s: %w", sha, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sha {
		delete(s.checked, sha)
		aside := f.Name() + ".damaged"
		if err := os.Rename(f.Name(), aside); err != nil {
			return fmt.Errorf("%w: %s, and it cannot be moved aside: %w", ErrDamaged, f.Name(), err)
		}
		return fmt.Errorf("%w: %s now has the content %s; it was moved to %s and is made again when the appliance starts; check the disk", ErrDamaged, sha, got, aside)
	}
	s.checked[sha] = now
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// Put stores what r yields.
func (s *Store) Put(r io.Reader) (Blob, error) {
	w, err := s.Create()
	if err != nil {
		return Blob{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, r); err != nil {
		return Blob{}, err
	}
	return w.Commit()
}

// List returns the stored files, sorted by hash. It reads no content.
func (s *Store) List() ([]Blob, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var blobs []Blob
	for _, e := range entries {
		if !isHash(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, Blob{e.Name(), info.Size()})
	}
	return blobs, nil
}

// Verify reads every stored file anew, those of its folders too. It returns how
// many there are, and one error for each that is damaged, joined. Those are moved aside.
func (s *Store) Verify() (files int, err error) {
	var faults []error
	for _, name := range []string{"", partsDir, releaseDir, packagesDir} {
		one := s
		if name != "" {
			if one, err = s.sub(name); err != nil {
				return files, err
			}
		}
		blobs, err := one.List()
		faults = append(faults, err)
		files += len(blobs)
		for _, b := range blobs {
			f, err := os.Open(filepath.Join(one.dir, b.SHA256))
			if err == nil {
				err = one.check(f, b.SHA256, true)
				f.Close()
			}
			faults = append(faults, err)
		}
	}
	return files, errors.Join(faults...)
}

// Writer adds one file to a store. Commit or Abort ends it.
type Writer struct {
	store *Store
	file  *os.File
	hash  hash.Hash
	size  int64
}

// Create begins a file whose hash is known only at its end.
func (s *Store) Create() (*Writer, error) {
	f, err := os.CreateTemp(s.dir, ".new-*")
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	return &Writer{store: s, file: f, hash: sha256.New()}, nil
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	if err != nil {
		err = fmt.Errorf("image store: %w", err)
	}
	return n, err
}

// Size is the number of bytes written so far.
func (w *Writer) Size() int64 { return w.size }

// Commit makes the file durable and gives it its name.
func (w *Writer) Commit() (Blob, error) {
	b := Blob{hex.EncodeToString(w.hash.Sum(nil)), w.size}
	name := filepath.Join(w.store.dir, b.SHA256)
	err := errors.Join(w.file.Chmod(0o444), w.file.Sync())
	if err == nil {
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		err = os.Rename(w.file.Name(), name)
	}
	if err != nil {
		return Blob{}, fmt.Errorf("image store: %w", err)
	}
	if now, err := stampOf(w.file); err == nil {
		w.store.checked[b.SHA256] = now
	}
	return b, errors.Join(w.file.Close(), syncDir(w.store.dir))
}

// Abort removes what was written; after Commit it does nothing.
func (w *Writer) Abort() {
	if w.file.Close() == nil {
		os.Remove(w.file.Name())
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func isHash(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
