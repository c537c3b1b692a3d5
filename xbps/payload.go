package xbps

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
)

// listFiles makes files.plist for files, which are sorted, and sums their size.
func listFiles(files []File, conf []string) (list FileList, size uint64, err error) {
	regular := map[string]ListedFile{}
	for i, f := range files {
		if clean, err := cleanPath(f.Path); err != nil || clean != f.Path || clean == "" {
			return list, 0, fmt.Errorf("%q is no clean relative path", f.Path)
		}
		if i > 0 && files[i-1].Path == f.Path {
			return list, 0, fmt.Errorf("%s is given twice", f.Path)
		}
		entry := ListedFile{File: "/" + f.Path}
		switch {
		case f.Mode.IsDir():
			list.Dirs = append(list.Dirs, entry)
		case f.Mode&fs.ModeSymlink != 0:
			entry.Target = f.Target
			if !path.IsAbs(entry.Target) {
				entry.Target = path.Join(path.Dir(entry.File), entry.Target)
			}
			list.Links = append(list.Links, entry)
		case f.Mode.IsRegular():
			if f.Link != "" {
				first, ok := regular[f.Link]
				if !ok {
					return list, 0, fmt.Errorf("%s is a hard link to %s, which does not precede it", f.Path, f.Link)
				}
				entry.SHA256, entry.Size = first.SHA256, first.Size
			} else {
				if entry.SHA256, err = sum(f); err != nil {
					return list, 0, fmt.Errorf("%s: %w", f.Path, err)
				}
				entry.Size = uint64(f.Size)
				size += entry.Size
			}
			regular[f.Path] = entry
			if slices.Contains(conf, entry.File) {
				list.ConfFiles = append(list.ConfFiles, entry)
			} else {
				list.Files = append(list.Files, entry)
			}
		default:
			return list, 0, fmt.Errorf("%s: cannot pack a file of the type %s", f.Path, f.Mode.Type())
		}
	}
	if len(list.ConfFiles) != len(conf) {
		return list, 0, fmt.Errorf("not all of the configuration files %q are among its files", conf)
	}
	return list, size, nil
}

func sum(f File) (string, error) {
	r, err := f.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return "", err
	}
	if n != f.Size {
		return "", fmt.Errorf("it has %d bytes, said to have %d", n, f.Size)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeFile writes one file of the payload. XBPS wants the "./".
func writeFile(t *tar.Writer, f File) error {
	h := &tar.Header{Name: "./" + f.Path, Mode: unixMode(f.Mode), Uid: f.UID, Gid: f.GID, Format: tar.FormatPAX}
	switch {
	case f.Link != "":
		h.Typeflag, h.Linkname = tar.TypeLink, "./"+f.Link
	case f.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Target
	default:
		h.Typeflag, h.Size = tar.TypeReg, f.Size
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	n, err := io.Copy(t, r)
	if err == nil && n != f.Size {
		err = errors.New("it changed while it was packed")
	}
	return errors.Join(err, r.Close())
}
