package xbps

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// File is one file of a tree: of a package, of a tarball, or of a folder that is
// to become one.
type File struct {
	Path     string      // relative and clean, with slashes: "usr/bin/foo"
	Mode     fs.FileMode // type and permission bits with setuid, setgid and sticky
	UID, GID int
	Size     int64  // of regular files
	Target   string // of symbolic links, as written
	Link     string // of a further name of an earlier regular file: that file's path

	// Open returns the content of a regular file that is to be packed. What
	// readers return has no Open: its content comes from the reader.
	Open func() (io.ReadCloser, error)
}

// Regular returns a file with the content b, owned by root.
func Regular(name string, perm fs.FileMode, b []byte) File {
	return File{Path: name, Mode: perm, Size: int64(len(b)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

// Symlink returns a symbolic link to target, owned by root.
func Symlink(name, target string) File {
	return File{Path: name, Mode: fs.ModeSymlink | 0o777, Target: target}
}

// Directory returns a directory, owned by root.
func Directory(name string, perm fs.FileMode) File {
	return File{Path: name, Mode: fs.ModeDir | perm}
}

// Tree lists all of fsys (os.DirFS, embed.FS), owned by root: a packager's
// own user means nothing on the machine that installs. Devices, pipes and sockets
// are errors, since XBPS cannot pack them.
func Tree(fsys fs.FS) ([]File, error) {
	var files []File
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := File{Path: name, Mode: info.Mode()}
		switch f.Mode.Type() {
		case fs.ModeDir:
		case 0:
			f.Size = info.Size()
			f.Open = func() (io.ReadCloser, error) { return fsys.Open(name) }
		case fs.ModeSymlink:
			if f.Target, err = fs.ReadLink(fsys, name); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s: cannot pack a file of the type %s", name, f.Mode.Type())
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// cleanPath turns a name in an archive ("./usr/bin/foo", "usr/") into a File's
// path; the root itself becomes "". Names that could leave the tree are refused.
func cleanPath(name string) (string, error) {
	if len(name) > 4096 {
		return "", fmt.Errorf("path of %d bytes", len(name))
	}
	if strings.HasPrefix(name, "/") {
		return "", fmt.Errorf("absolute path %q", name)
	}
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("path %q with a zero byte", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "..":
			return "", fmt.Errorf("path %q leaves the tree", name)
		case len(part) > maxComponent:
			return "", fmt.Errorf("path with a name of %d bytes, which no file system has", len(part))
		}
	}
	if name = path.Clean(name); name == "." {
		return "", nil
	}
	return name, nil
}
