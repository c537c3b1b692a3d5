package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// target is the new system's root. No path leaves it, whatever links the
// packages have placed: an absolute link would lead into the installer.
type target struct{ *os.Root }

func openTarget(dir string) (*target, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the new system's root: %w", err)
	}
	return &target{r}, nil
}

// inside turns an absolute path of the new system into one of os.Root.
func inside(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return "."
	}
	return name
}

// write places a file with exactly this mode. Durability comes from the sync at
// the end of the install.
func (t *target) write(name string, mode fs.FileMode, content string) error {
	name = inside(name)
	if err := t.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("make the directory of /%s: %w", name, err)
	}
	// A file that a package left is replaced, not written through: it may be a link.
	if err := t.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace /%s: %w", name, err)
	}
	if err := t.WriteFile(name, []byte(content), mode); err != nil {
		return fmt.Errorf("write /%s: %w", name, err)
	}
	return t.Chmod(name, mode)
}

// text returns a file's content, "" when there is none.
func (t *target) text(name string) (string, error) {
	b, err := t.ReadFile(inside(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// edit rewrites a file, keeping its mode.
func (t *target) edit(name string, mode fs.FileMode, f func(string) string) error {
	old, err := t.text(name)
	if err != nil {
		return err
	}
	if st, err := t.Stat(inside(name)); err == nil {
		mode = st.Mode().Perm()
	}
	return t.write(name, mode, f(old))
}

// link makes a symbolic link, replacing an older one.
func (t *target) link(to, name string) error {
	name = inside(name)
	if err := t.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("make the directory of /%s: %w", name, err)
	}
	if err := t.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace /%s: %w", name, err)
	}
	return t.Symlink(to, name)
}

// exists reports whether something has the name; links are not followed.
func (t *target) exists(name string) bool {
	_, err := t.Lstat(inside(name))
	return err == nil
}
