package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"provision.internal/xbps"
)

// tree is a set of files by path.
type tree map[string]xbps.File

func (t tree) add(files ...xbps.File) {
	for _, f := range files {
		t[f.Path] = f
	}
}

// merge adds all of other to t.
func (t tree) merge(other tree) {
	for name, f := range other {
		t[name] = f
	}
}

// files lists t in the order of its paths.
func (t tree) files() []xbps.File {
	var names []string
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	out := make([]xbps.File, len(names))
	for i, name := range names {
		out[i] = t[name]
	}
	return out
}

// pick returns the files that the patterns name: of path.Match, or a folder with
// all below it when a pattern ends in a slash. A pattern that matches nothing is
// an error: Debian has moved the file.
func (t tree) pick(patterns []string) (tree, error) {
	out := tree{}
	for _, p := range patterns {
		before := len(out)
		for name, f := range t {
			ok := strings.HasSuffix(p, "/") && strings.HasPrefix(name, p)
			if !ok {
				var err error
				if ok, err = path.Match(p, name); err != nil {
					return nil, fmt.Errorf("%s: %w", p, err)
				}
			}
			if ok {
				out.add(f)
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("nothing matches %s", p)
		}
	}
	return out, nil
}

// ownFiles are the stand-in's own files for a package. Scripts are executable.
func ownFiles(name string) (tree, error) {
	sub, err := fs.Sub(voidFiles, "void/"+name)
	if err != nil {
		return nil, err
	}
	files, err := xbps.Tree(sub)
	if err != nil {
		return nil, err
	}
	t := tree{}
	for _, f := range files {
		if f.Mode.IsDir() {
			continue
		}
		body, err := content(f)
		if err != nil {
			return nil, err
		}
		f.Mode = 0o644
		if strings.HasPrefix(string(body), "#!") {
			f.Mode = 0o755
		}
		if f.Path == "etc/shadow" {
			f.Mode = 0o600
		}
		t.add(f)
	}
	return t, nil
}

func content(f xbps.File) ([]byte, error) {
	if f.Open == nil {
		return nil, fmt.Errorf("%s has no content", f.Path)
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	return body, errors.Join(err, r.Close())
}
