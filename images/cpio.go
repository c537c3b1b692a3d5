package images

import (
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/cavaliergopher/cpio"
)

// initramfs writes one cpio archive as the kernel unpacks it: newc, owner 0,
// time 0. Parents are written before what is in them.
type initramfs struct {
	w    *cpio.Writer
	dirs map[string]bool
}

func newInitramfs(w io.Writer) *initramfs {
	return &initramfs{w: cpio.NewWriter(w), dirs: map[string]bool{".": true}}
}

func (a *initramfs) entry(name string, mode cpio.FileMode, body []byte) error {
	if err := a.dir(path.Dir(name)); err != nil {
		return err
	}
	h := &cpio.Header{Name: name, Mode: mode, Size: int64(len(body)), ModTime: time.Unix(0, 0), Links: 1}
	if err := a.w.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := a.w.Write(body); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// dir writes a directory unless this archive has it already.
func (a *initramfs) dir(name string) error {
	if a.dirs[name] {
		return nil
	}
	a.dirs[name] = true
	return a.entry(name, cpio.TypeDir|0o755, nil)
}

func (a *initramfs) file(name string, perm cpio.FileMode, body []byte) error {
	return a.entry(name, cpio.TypeReg|perm, body)
}

func (a *initramfs) symlink(name, target string) error {
	return a.entry(name, cpio.TypeSymlink|0o777, []byte(target))
}

func (a *initramfs) close() error { return a.w.Close() }

// aligned pads an archive to four bytes: the kernel looks for the next one of
// a concatenation there only.
type aligned struct {
	w io.Writer
	n int64
}

func (a *aligned) Write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	a.n += int64(n)
	return n, err
}

func (a *aligned) pad() error {
	_, err := a.Write(make([]byte, -a.n&3))
	return err
}

// concatenate joins archives, each at an aligned place.
func concatenate(w io.Writer, parts ...io.Reader) error {
	out := &aligned{w: w}
	var faults []error
	for _, p := range parts {
		faults = append(faults, out.pad())
		_, err := io.Copy(out, p)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
