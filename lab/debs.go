package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"provision.internal/xbps"
)

// debs is a folder with Debian packages, fetched once.
type debs struct {
	dir  string
	file map[string]string // package → file
}

// fetchDebs fetches what dir lacks of the named packages, in the versions that
// Debian's mirror has now, with its ordinary client.
func fetchDebs(ctx context.Context, dir string, names []string) (*debs, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	d := &debs{dir: dir, file: map[string]string{}}
	empty, err := os.MkdirTemp(dir, ".empty-") // apt is silent about files that it finds in its folder
	if err != nil {
		return nil, err
	}
	defer os.Remove(empty)
	wanted, err := apt(ctx, empty, append([]string{"--print-uris"}, names...)...)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, m := range uriLine.FindAllStringSubmatch(wanted, -1) {
		file := m[1]
		name, _, _ := strings.Cut(file, "_")
		d.file[name] = filepath.Join(dir, file)
		if !exists(d.file[name]) {
			missing = append(missing, name)
		}
		if err := d.removeOthers(name); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		if d.file[name] == "" {
			return nil, fmt.Errorf("apt knows no package %s: run apt-get update", name)
		}
	}
	if len(missing) == 0 {
		return d, nil
	}
	if _, err := apt(ctx, dir, missing...); err != nil {
		return nil, fmt.Errorf("%w; when the mirror has newer packages than apt knows: apt-get update", err)
	}
	return d, nil
}

// removeOthers removes the other versions of a package.
func (d *debs) removeOthers(name string) error {
	all, err := filepath.Glob(filepath.Join(d.dir, name+"_*.deb"))
	faults := []error{err}
	for _, file := range all {
		if file != d.file[name] {
			faults = append(faults, os.Remove(file))
		}
	}
	return errors.Join(faults...)
}

// uriLine is what apt-get download --print-uris says of a package: its URL, its
// file, its size and hash.
var uriLine = regexp.MustCompile(`(?m)^'[^']+' (\S+\.deb) `)

func apt(ctx context.Context, dir string, args ...string) (string, error) {
	// The folder may be closed to apt's own user: it then warns, and goes on as ours.
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"download", "-q", "-o", "APT::Sandbox::User="}, args...)...)
	cmd.Dir = dir
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("apt-get download: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return string(out), nil
}

// version is the package's upstream version, as XBPS may have it.
func (d *debs) version(name string) string {
	_, version, _ := strings.Cut(filepath.Base(d.file[name]), "_")
	version, _, _ = strings.Cut(version, "_")
	if _, after, ok := strings.Cut(version, "%3a"); ok {
		version = after // the epoch
	}
	version, _, _ = strings.Cut(version, "-")
	version, _, _ = strings.Cut(version, "+")
	return version + "_1"
}

// read unpacks a package into memory, laid out as Void lays out its system:
// programs in usr/bin, libraries in usr/lib, whatever Debian's folder was.
func (d *debs) read(ctx context.Context, name string) (tree, error) {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", d.file[name])
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", d.file[name], err)
	}
	t, err := readTar(out)
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", d.file[name], err)
	}
	return t, nil
}

func readTar(in io.Reader) (tree, error) {
	t := tree{}
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, in) // padding, or dpkg-deb ends by a broken pipe
			return t, err
		}
		if err != nil {
			return nil, err
		}
		name := asVoid(h.Name)
		switch h.Typeflag {
		case tar.TypeReg:
			body, err := io.ReadAll(r)
			if err != nil {
				return nil, err
			}
			t.add(xbps.Regular(name, fs.FileMode(h.Mode).Perm(), body))
		case tar.TypeLink:
			f, ok := t[asVoid(h.Linkname)]
			if !ok {
				return nil, fmt.Errorf("%s is a further name of %s, which is not there", h.Name, h.Linkname)
			}
			f.Path = name
			t.add(f)
		case tar.TypeSymlink:
			target := h.Linkname
			if path.IsAbs(target) {
				target = "/" + asVoid(target)
			}
			if target == "/"+name { // lib64/ld.so → lib/…/ld.so: one file for Void
				continue
			}
			t.add(xbps.Symlink(name, target))
		}
	}
}

// asVoid maps a path of Debian's to Void's. The folders that Void has links for
// (bin, sbin, lib, lib64, usr/sbin) become what they point to.
func asVoid(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	for _, m := range [][2]string{
		{"bin/", "usr/bin/"}, {"sbin/", "usr/bin/"}, {"usr/sbin/", "usr/bin/"},
		{"lib/", "usr/lib/"}, {"lib64/", "usr/lib/"}, {"usr/lib/x86_64-linux-gnu/", "usr/lib/"},
	} {
		if rest, ok := strings.CutPrefix(name, m[0]); ok {
			name = m[1] + rest
		}
	}
	return name
}
