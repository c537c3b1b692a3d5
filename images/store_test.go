package images_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"provision.internal/images"
)

func put(t *testing.T, s *images.Store, body string) images.Blob {
	t.Helper()
	b, err := s.Put(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStoreKeepsByContent(t *testing.T) {
	dir := t.TempDir()
	s, err := images.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := put(t, s, "one")
	sum := sha256.Sum256([]byte("one"))
	if want := (images.Blob{SHA256: hex.EncodeToString(sum[:]), Size: 3}); b != want {
		t.Errorf("Put = %v, want %v", b, want)
	}
	if again := put(t, s, "one"); again != b {
		t.Errorf("Put again = %v, want %v", again, b)
	}
	put(t, s, "two")

	// Another process, later; with what a crash left.
	left := filepath.Join(dir, ".new-123")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = images.Open(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("Open kept an unfinished file")
	}
	if got := string(content(t, s, b)); got != "one" {
		t.Errorf("content %q, want one", got)
	}
	all, err := s.List()
	if err != nil || len(all) != 2 {
		t.Errorf("List = %v, %v; want two files", all, err)
	}
	if _, err := s.Verify(); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

func TestStoreRefusesNames(t *testing.T) {
	s := open(t)
	for _, name := range []string{"", "..", "../../etc/passwd", strings.Repeat("a", 63), strings.Repeat("A", 64), strings.Repeat("a", 64), strings.Repeat("a", 63) + "/"} {
		if _, err := s.File(name); !errors.Is(err, images.ErrMissing) {
			t.Errorf("File(%q): %v, want ErrMissing", name, err)
		}
	}
}

// A file that changes after it was found right is looked at again.
func TestStoreNeverServesDamage(t *testing.T) {
	dir := t.TempDir()
	s, err := images.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, other := put(t, s, "a kernel"), put(t, s, "an initrd")
	content(t, s, b)
	name := filepath.Join(dir, b.SHA256)
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("a cernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.File(b.SHA256); !errors.Is(err, images.ErrDamaged) || !strings.Contains(err.Error(), b.SHA256+".damaged") {
		t.Errorf("File: %v, want ErrDamaged and where the file is now", err)
	}
	if healed := put(t, s, "a kernel"); healed != b {
		t.Errorf("Put = %v, want %v", healed, b)
	}
	content(t, s, b)

	// Rot leaves no trace in the time: Verify reads all the same.
	info, err := os.Stat(filepath.Join(dir, other.SHA256))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, other.SHA256), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, other.SHA256), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("A"), 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Chtimes(f.Name(), time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(); !errors.Is(err, images.ErrDamaged) || !strings.Contains(err.Error(), other.SHA256) || strings.Contains(err.Error(), b.SHA256) {
		t.Errorf("Verify: %v, want ErrDamaged for %s only", err, other.SHA256)
	}
	if _, err := s.File(other.SHA256); !errors.Is(err, images.ErrMissing) {
		t.Errorf("File after Verify: %v, want ErrMissing", err)
	}
}

func TestStoreForManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	s, err := images.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	b := put(t, s, string(body))
	if s, err = images.Open(dir); err != nil {
		t.Fatal(err)
	}
	faults := make(chan error, 32)
	var wg sync.WaitGroup
	for i := range cap(faults) {
		wg.Go(func() {
			f, err := s.File(b.SHA256)
			if err != nil {
				faults <- err
				return
			}
			defer f.Close()
			if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, body) {
				faults <- fmt.Errorf("reader %d: %d bytes, %w", i, len(got), err)
			}
			if _, err := s.Put(strings.NewReader(fmt.Sprint(i % 4))); err != nil {
				faults <- err
			}
		})
	}
	wg.Wait()
	close(faults)
	for err := range faults {
		t.Error(err)
	}
}

func TestLoaders(t *testing.T) {
	mine := filepath.Join(t.TempDir(), "mine.efi")
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := images.Loaders{
		Embedded: fstest.MapFS{"undionly.kpxe": {Data: []byte("embedded")}, "snponly.efi": {Data: []byte("embedded")}},
		Override: map[string]string{"snponly.efi": mine, "gone.efi": mine + ".gone"},
	}
	for name, want := range map[string]string{"undionly.kpxe": "embedded", "snponly.efi": "mine"} {
		f, err := l.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
		f.Close()
	}
	for name, want := range map[string]string{"arm64.efi": "make build", "gone.efi": mine + ".gone"} {
		if _, err := l.Open(name); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("Open(%s): %v, want ErrNotExist, the name and %q", name, err, want)
		}
	}
	err := l.Check("snponly.efi", "arm64.efi", "gone.efi")
	if err == nil || !strings.Contains(err.Error(), "arm64.efi") || !strings.Contains(err.Error(), "gone.efi") || strings.Contains(err.Error(), "snponly") {
		t.Errorf("Check: %v, want the two that are missing", err)
	}
}

func BenchmarkFile(b *testing.B) {
	s := open(b)
	blob, err := s.Put(bytes.NewReader(make([]byte, 1<<20)))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f, err := s.File(blob.SHA256)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
