package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"provision.internal/images/release"
)

// assembly remembers what an image was made of, for Assembled and Collect.
type assembly struct {
	Image   Image    `json:"image"`
	Recipes []string `json:"recipes"` // of the store
	Parts   []string `json:"parts"`   // recipes of its parts
}

func (s *Store) assembled(image Image, parts *Store) error {
	return writeJSON(filepath.Join(s.dir, assembledDir, image.Arch+".json"), assembly{
		Image: image, Recipes: slices.Sorted(maps.Keys(s.used)), Parts: slices.Sorted(maps.Keys(parts.used)),
	})
}

func (s *Store) assembly(arch string) (assembly, error) {
	var a assembly
	b, err := os.ReadFile(filepath.Join(s.dir, assembledDir, arch+".json"))
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	return a, err
}

// Assembled returns the latest image for each architecture, by their names. It reads no
// image's content.
func (s *Store) Assembled() ([]Image, error) {
	var all []Image
	for _, arch := range release.Arches {
		a, err := s.assembly(arch)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("image store: image for %s: %w", arch, err)
		}
		all = append(all, a.Image)
	}
	return all, nil
}

// Keep is what Collect leaves in the store.
type Keep struct {
	Arches  []string // images for these, and what they were made of
	Release Release  // with its tarballs for Arches; none when its name is empty
	Netboot string   // the NETBOOT tarball whose files stay; may be empty
}

// Collected is what Collect did.
type Collected struct {
	Removed int   `json:"removed"` // files
	Freed   int64 `json:"freed"`   // bytes
	Held    int   `json:"held"`    // files that nothing refers to but that somebody serves
}

// Collect removes whatever keep does not refer to: superseded images, other releases,
// packages, which are needed only while an image is made of them, halves of
// transfers, and what was moved aside as damaged. Files that a process holds stay.
func (s *Store) Collect(ctx context.Context, keep Keep) (Collected, error) {
	var out Collected
	unlock, err := s.lock(ctx)
	if err != nil {
		return out, err
	}
	defer unlock()
	parts, err := s.sub(partsDir)
	if err != nil {
		return out, err
	}
	releases, err := s.sub(releaseDir)
	if err != nil {
		return out, err
	}
	packages, err := s.sub(packagesDir)
	if err != nil {
		return out, err
	}
	images, used, names, indexes := files{}, files{}, files{}, files{}
	// Without network an index still tells what has been made of what.
	left, err := filepath.Glob(filepath.Join(packages.dir, indexPrefix+"*"))
	if err != nil {
		return out, err
	}
	for _, name := range left {
		indexes.add("", filepath.Base(name))
	}
	for _, arch := range keep.Arches {
		images.add(assembledDir, arch+".json")
		if a, err := s.assembly(arch); err == nil {
			s.refer(images, a.Recipes)
			parts.refer(used, a.Parts)
		} // else it is assembled anew
		if keep.Release.Name == "" {
			continue
		}
		names.add("", keep.Release.Name+"-"+release.SumsFile)
		names.add("", keep.Release.Name+"-"+release.SignatureFile)
		if sum, err := s.releaseSum(keep.Release, arch); err == nil {
			names.add("", sum)
			names.add("", ".part-"+sum)
		} // else it has not been pulled
	}
	if keep.Netboot != "" {
		sum, err := s.hashOf(keep.Netboot)
		if err != nil {
			return out, fmt.Errorf("NETBOOT: %w; correct images.netboot first", err)
		}
		s.refer(images, []string{recipeName(netbootRecipe, sum)})
	}
	for store, kept := range map[*Store]files{s: images, parts: used, releases: names, packages: indexes} {
		for _, dir := range []string{"", recipesDir, assembledDir} {
			if err := store.sweep(dir, kept, &out); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// files are names below a store's folder.
type files map[string]bool

func (f files) add(dir, name string) { f[filepath.Join(dir, name)] = true }

// refer keeps recipes and what was made by them.
func (s *Store) refer(kept files, recipes []string) {
	for _, recipe := range recipes {
		kept.add(recipesDir, recipe)
		if m, ok := readRecipe(filepath.Join(s.dir, recipesDir, recipe)); ok {
			for _, b := range m.Blobs {
				kept.add("", b.SHA256)
			}
		}
	}
}

// sweep removes what is not kept from one folder of the store. The cache of input
// files' hashes and the lock are not of what is collected.
func (s *Store) sweep(dir string, kept files, out *Collected) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || e.Name() == "lock" || e.Name() == "inputs.json" || kept[filepath.Join(dir, e.Name())] {
			continue
		}
		name := filepath.Join(s.dir, dir, e.Name())
		size, held, err := remove(name)
		switch {
		case err != nil:
			return fmt.Errorf("image store: %w", err)
		case held:
			out.Held++
			continue
		}
		s.mu.Lock()
		delete(s.checked, e.Name())
		s.mu.Unlock()
		out.Removed++
		out.Freed += size
	}
	return nil
}

// remove removes a file unless somebody holds it.
func remove(name string) (size int64, held bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return 0, true, nil
	}
	info, statErr := f.Stat()
	if err = errors.Join(err, statErr); err != nil {
		return 0, false, err
	}
	return info.Size(), false, os.Remove(name)
}
