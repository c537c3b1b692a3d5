package bundle

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"time"
)

// What reading fails with.
var (
	ErrFormat    = errors.New("this is no bundle of provision's")
	ErrSignature = errors.New("the signature is not valid")
	ErrBroken    = errors.New("the bundle is damaged or was changed")
)

// File is one file of a bundle.
type File struct {
	Name   string `json:"name"` // a clean relative path
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Manifest is what is signed.
type Manifest struct {
	Format string    `json:"format"`
	Made   time.Time `json:"made"`
	By     string    `json:"by"` // the appliance that made it
	Title  string    `json:"title"`
	Files  []File    `json:"files"`
}

const (
	format       = "provision bundle 1"
	manifestName = "manifest.json"
	sigName      = "manifest.sig"

	maxManifest = 64 << 20
	maxFiles    = 200_000
	maxFile     = 8<<30 - 1 // a tar header's own limit
	maxTotal    = 1 << 40
	maxName     = 100 // likewise
)

var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~@/-]*$`)

// check refuses what no maker writes, and what must not become a path.
func (m Manifest) check() error {
	if m.Format != format {
		return fmt.Errorf("%w: its format is %q, known is %q", ErrFormat, m.Format, format)
	}
	if len(m.Files) > maxFiles {
		return fmt.Errorf("%w: %d files, more than %d", ErrFormat, len(m.Files), maxFiles)
	}
	seen := map[string]bool{manifestName: true, sigName: true}
	var total int64
	for _, f := range m.Files {
		sum, err := hex.DecodeString(f.SHA256)
		switch {
		case len(f.Name) > maxName || !fileName.MatchString(f.Name) || !fs.ValidPath(f.Name):
			return fmt.Errorf("%w: %q cannot be a file's name", ErrFormat, f.Name)
		case seen[f.Name]:
			return fmt.Errorf("%w: %s is there twice", ErrFormat, f.Name)
		case err != nil || len(sum) != 32:
			return fmt.Errorf("%w: %s: %q is no SHA-256", ErrFormat, f.Name, f.SHA256)
		case f.Size < 0 || f.Size > maxFile:
			return fmt.Errorf("%w: %s: a file of %d bytes", ErrFormat, f.Name, f.Size)
		}
		seen[f.Name] = true
		if total += f.Size; total > maxTotal {
			return fmt.Errorf("%w: more than %d bytes", ErrFormat, int64(maxTotal))
		}
	}
	return nil
}

// Total is the size of all files.
func (m Manifest) Total() int64 {
	var total int64
	for _, f := range m.Files {
		total += f.Size
	}
	return total
}

func (m Manifest) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err == nil && len(b) > maxManifest {
		err = fmt.Errorf("a manifest of %d bytes", len(b))
	}
	return b, err
}
