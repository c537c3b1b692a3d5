package images

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// recipeVersion changes when the same inputs are to give other files.
const recipeVersion = "4"

// made is the result of one step of an assembly.
type made struct {
	Blobs  map[string]Blob   `json:"blobs"`
	Notes  map[string]string `json:"notes,omitempty"`
	Memory int64             `json:"memory,omitempty"` // bytes that it occupies on the machine
}

// occupied is what a file of size bytes takes of a machine's memory: whole pages,
// and an inode with a directory entry.
func occupied(size int64) int64 {
	const page, inode = 4096, 1024
	return (size+page-1)/page*page + inode
}

// remember returns what make gave for the same inputs before, as long as the
// files are still there and right; else it calls make.
func (s *Store) remember(make func() (made, error), inputs ...string) (made, error) {
	recipe := recipeName(inputs...)
	s.mu.Lock()
	s.used[recipe] = true
	s.mu.Unlock()
	name := filepath.Join(s.dir, recipesDir, recipe)
	if m, ok := readRecipe(name); ok && s.whole(m) {
		return m, nil
	}
	m, err := make()
	if err != nil {
		return made{}, err
	}
	return m, writeJSON(name, m)
}

func recipeName(inputs ...string) string {
	key := sha256.Sum256([]byte(recipeVersion + "\x00" + strings.Join(inputs, "\x00")))
	return inputs[0] + "-" + hex.EncodeToString(key[:12]) + ".json"
}

// readRecipe reads what was made once. One that cannot be read is as good as
// none.
func readRecipe(name string) (m made, ok bool) {
	b, err := os.ReadFile(name)
	return m, err == nil && json.Unmarshal(b, &m) == nil
}

func (s *Store) whole(m made) bool {
	for _, b := range m.Blobs {
		f, err := s.File(b.SHA256)
		if err != nil {
			return false
		}
		f.Close()
	}
	return len(m.Blobs) > 0
}

// known is the hash of an input file as long as the file has not changed.
type known struct {
	Size, Mtime int64
	Inode       uint64
	SHA256      string
}

// hashOf returns the SHA-256 of an input file, which it reads only when it has
// changed since it was read last.
func (s *Store) hashOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	now, err := stampOf(f)
	if err != nil {
		return "", err
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	name := filepath.Join(s.dir, recipesDir, "inputs.json")
	inputs := map[string]known{}
	if b, err := os.ReadFile(name); err == nil {
		if err := json.Unmarshal(b, &inputs); err != nil {
			inputs = map[string]known{} // a cache: made again
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if k := inputs[absolute]; k.SHA256 != "" && (stamp{k.Size, k.Mtime, k.Inode}) == now {
		return k.SHA256, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	inputs[absolute] = known{now.size, now.mtime, now.inode, sum}
	return sum, writeJSON(name, inputs)
}

func writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	return writeFile(name, b)
}
