package agent

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"provision.internal/installer"
)

// fetchUserland downloads the tools and unpacks them over the initrd's root, or
// beside it (see System.Enter).
// Nothing of them is unpacked, let alone run, before the whole archive has the
// hash that the overlay names.
func (s *System) fetchUserland(ctx context.Context, u installer.Userland, told func(error, time.Duration)) error {
	archive := s.path("/run/userland.tar.zst")
	defer os.Remove(archive)
	err := s.retry(ctx, patience, time.Second, 15*time.Second, func() error { return fetch(ctx, u, archive) }, told)
	if err != nil {
		return fmt.Errorf("fetch the installer's tools: %w", err)
	}
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	root := s.Root
	if s.Enter != nil {
		root = s.path(ownRoot)
	}
	if err := unpack(f, root); err != nil {
		return fmt.Errorf("unpack the installer's tools: %w", err)
	}
	if s.Enter != nil {
		return s.Enter(root)
	}
	return nil
}

// fetch writes the archive to a file if it has the right hash.
func fetch(ctx context.Context, u installer.Userland, to string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.URL, nil)
	if err != nil {
		return final("%w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", u.URL, resp.Status)
	}
	f, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(resp.Body, u.Size+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", u.URL, err)
	case n != u.Size:
		return fmt.Errorf("%s has %d bytes, want %d", u.URL, n, u.Size)
	case hex.EncodeToString(sum.Sum(nil)) != strings.ToLower(u.SHA256):
		return final("%s is not what this installer was built with: start the machine again", u.URL)
	}
	return f.Close()
}

// kept are the paths of the running installer that no archive may replace.
var kept = []string{"init", "proc", "sys", "dev", "run", "etc/provision"}

// unpack unpacks a tar in zstd below root. Links of the archive may replace
// directories of the initrd (/lib becomes a link to usr/lib): their content
// moves along.
func unpack(r io.Reader, root string) error {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	tr := tar.NewReader(z)
	buf := make([]byte, 128<<10) // one for all: thousands of files are small
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := inside(h.Name)
		if slices.ContainsFunc(kept, func(k string) bool { return name == k || strings.HasPrefix(name, k+"/") }) || name == "." {
			continue
		}
		if err := unpackOne(tr, h, root, name, buf); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func unpackOne(tr *tar.Reader, h *tar.Header, root, name string, buf []byte) error {
	path := filepath.Join(root, name)
	mode := h.FileInfo().Mode()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		// A link to a directory stays: the initrd may be laid out the other way round.
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			return nil
		}
		return os.MkdirAll(path, mode.Perm())
	case tar.TypeSymlink:
		return replaceByLink(path, h.Linkname)
	case tar.TypeLink:
		os.Remove(path) // what stays in the way makes Link fail
		return os.Link(filepath.Join(root, inside(h.Linkname)), path)
	case tar.TypeReg:
		os.Remove(path) // as above
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm())
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{f}, tr, buf) // the file's own ReadFrom would allocate
		return errors.Join(err, f.Chmod(mode.Perm()), f.Close())
	}
	return nil // devices: devtmpfs has them
}

// replaceByLink makes path a link. A directory that is there is merged into what
// the link leads to.
func replaceByLink(path, to string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.Symlink(to, path)
	case err != nil:
		return err
	case !st.IsDir():
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Symlink(to, path)
	case filepath.IsAbs(to):
		return fmt.Errorf("the initrd has a directory where the tools have a link to %s", to)
	}
	if err := merge(path, filepath.Join(filepath.Dir(path), to)); err != nil {
		return err
	}
	return os.Symlink(to, path)
}

// merge moves what is in the directory from into the directory to, and removes
// from. What both have stays as it is in from.
func merge(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		st, err := os.Lstat(dst)
		if err == nil && st.IsDir() && e.IsDir() {
			if err := merge(src, dst); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			if err := os.RemoveAll(dst); err != nil {
				return err
			}
		}
		if err := os.Rename(src, dst); err != nil {
			return err
		}
	}
	return os.Remove(from)
}
