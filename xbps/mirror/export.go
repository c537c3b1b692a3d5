package mirror

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"provision.internal/xbps/bundle"
)

// Where a bundle has what.
const (
	bundleSnapshot = "snapshot.json"
	bundleIndexes  = "indexes/"
	bundlePackages = "packages/"
	bundleKeys     = "keys/"
	bundleExtras   = "files/" // the appliance's own
)

// Export is a bundle that is ready to be written.
type Export struct {
	Packages int // how many it carries
	bundle   *bundle.Writer
	content  map[string]content
}

// content is where a file of the bundle comes from: memory or a file.
type content struct {
	bytes []byte
	file  string
}

func (c content) open() (io.ReadCloser, error) {
	if c.file == "" {
		return io.NopCloser(bytes.NewReader(c.bytes)), nil
	}
	return os.Open(c.file)
}

// Export gathers what a site without network needs to install from s: its indexes, the packages that
// wants need, which Complete has fetched before, the package keys, and extras, files of the
// appliance's own by the name that they get. by is the appliance's name. key
// signs it.
func (m *Mirror) Export(ctx context.Context, s Snapshot, wants []Want, extras map[string]string, key ed25519.PrivateKey, by string) (*Export, error) {
	e := &Export{content: map[string]content{}}
	made := bundle.Manifest{Made: m.cfg.Now().UTC(), By: by, Title: s.Name}
	add := func(name string, c content, want string) error {
		if _, ok := e.content[name]; ok {
			return nil
		}
		f, err := describe(name, c)
		if err != nil {
			return err
		}
		if want != "" && f.SHA256 != want {
			return fmt.Errorf("%s was damaged on the disk: run provision images export again, it is fetched anew", c.file)
		}
		e.content[name] = c
		made.Files = append(made.Files, f)
		return ctx.Err()
	}
	for _, part := range []func(func(string, content, string) error) error{
		func(add func(string, content, string) error) error { return exportSnapshot(s, add) },
		m.exportKeys,
		func(add func(string, content, string) error) error {
			for _, x := range s.Indexes {
				if err := add(bundleIndexes+x.SHA256, content{file: m.indexPath(x)}, x.SHA256); err != nil {
					return err
				}
			}
			return nil
		},
		func(add func(string, content, string) error) error {
			for name, file := range extras {
				if err := add(bundleExtras+name, content{file: file}, ""); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		if err := part(add); err != nil {
			return nil, fmt.Errorf("export %s: %w", s.Name, err)
		}
	}
	// The order of maps is not that of the bundle; the snapshot stays first.
	slices.SortFunc(made.Files[1:], func(a, b bundle.File) int { return strings.Compare(a.Name, b.Name) })
	files, err := m.needs(ctx, s, wants)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", s.Name, err)
	}
	e.Packages = len(files)
	for _, n := range files {
		sum := n.sum.String()
		err := add(bundlePackages+sum, content{file: m.packagePath(n.sum)}, sum)
		if err == nil {
			err = add(bundlePackages+sum+".sig2", content{file: m.signaturePath(n.sum)}, "")
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s is not kept: %w", n.path, err)
		}
		if err != nil {
			return nil, fmt.Errorf("export %s: %w", s.Name, err)
		}
	}
	e.bundle, err = bundle.New(key, made)
	return e, err
}

func exportSnapshot(s Snapshot, add func(string, content, string) error) error {
	s.Automatic, s.Origin = false, ""
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return add(bundleSnapshot, content{bytes: text}, "")
}

func (m *Mirror) exportKeys(add func(string, content, string) error) error {
	m.mu.Lock()
	keys := m.keys
	m.mu.Unlock()
	for _, k := range keys {
		name, text, err := k.Marshal()
		if err != nil {
			return err
		}
		// A colon cannot stand in the name of a file everywhere.
		if err := add(bundleKeys+strings.ReplaceAll(name, ":", "-"), content{bytes: text}, ""); err != nil {
			return err
		}
	}
	return nil
}

// describe reads a file once, for the manifest.
func describe(name string, c content) (bundle.File, error) {
	r, err := c.open()
	if err != nil {
		return bundle.File{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	return bundle.File{Name: name, Size: n, SHA256: digest(sum.Sum(nil)).String()}, errors.Join(err, r.Close())
}

// Size is how many bytes Write writes.
func (e *Export) Size() int64 { return e.bundle.Size() }

// Write writes the bundle.
func (e *Export) Write(w io.Writer) error {
	return e.bundle.Write(w, func(f bundle.File) (io.ReadCloser, error) { return e.content[f.Name].open() })
}
