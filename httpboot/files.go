package httpboot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"provision.internal/boot"
)

// loader serves a network boot program. UEFI HTTP boot asks with HEAD for its
// size before it asks for the content.
func (s *Server) loader(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if !fs.ValidPath(name) || strings.Contains(name, "/") {
		return fmt.Errorf("loader %q: %w", name, fs.ErrNotExist)
	}
	f, err := s.Loaders.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	content, ok := f.(io.ReadSeeker)
	if !info.Mode().IsRegular() || !ok {
		return fmt.Errorf("loader %q: %w", name, fs.ErrNotExist)
	}
	// "application/efi" is the type of UEFI 2.10 §24.7.3.2; EDK2 also goes by
	// the name's end.
	kind := "application/octet-stream"
	if path.Ext(name) == ".efi" {
		kind = "application/efi"
	}
	w.Header().Set("Content-Type", kind)
	http.ServeContent(w, r, "", info.ModTime(), content)
	return nil
}

// image serves a boot file by its hash. It can never change, so its tag is its
// hash. The name after the hash is for the machine: iPXE names files by it.
func (s *Server) image(w http.ResponseWriter, r *http.Request) error {
	f, err := s.Images.File(r.PathValue("hash"))
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("ETag", `"`+r.PathValue("hash")+`"`)
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

// repository serves a file of the XBPS repositories. os.Root keeps paths and
// links inside of the folder; there are no listings. The folder is opened anew
// for each request, because a mirror may replace it.
func (s *Server) repository(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("path")
	if s.Packages != nil {
		http.StripPrefix(strings.TrimSuffix(boot.RepoPath, "/"), s.Packages).ServeHTTP(w, r)
		return nil
	}
	if s.Repository == "" || !fs.ValidPath(name) {
		return fmt.Errorf("package file %q: %w", name, fs.ErrNotExist)
	}
	root, err := os.OpenRoot(s.Repository)
	if err != nil {
		return fmt.Errorf("open the repository: %w", err)
	}
	defer root.Close()
	// A named pipe would hold up the open.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return absent(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file: %w", f.Name(), fs.ErrNotExist)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}

// absent makes every reason for which the path is none of the repository's the
// same to the client; faults of the disk stay faults.
func absent(err error) error {
	for _, fault := range []error{syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, fault) {
			return err
		}
	}
	return errors.Join(fs.ErrNotExist, err)
}
