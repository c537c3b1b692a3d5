package lab

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"provision.internal/xbps"
)

//go:embed all:void
var voidFiles embed.FS

// The recipes' own text is part of what decides whether inputs are made anew.
//
//go:embed debs.go inputs.go kernel.go recipes.go
var recipeText embed.FS

// Inputs are what the appliance is given in place of Void's mirror.
type Inputs struct {
	Dir    string // holds void/ (the repositories), keys/ and the ROOTFS tarball
	Rootfs string
}

// rootfsName is as Void calls its tarball; the date says that it is no release.
const rootfsName = "void-x86_64-ROOTFS-00000000.tar.xz"

// rootfsOf lists the packages whose files make the ROOTFS tarball: the
// installer's tools.
var rootfsOf = []string{"base-files", "glibc", "busybox", "util-linux", "e2fsprogs", "dosfstools", "xbps"}

// Sources are the programs that the stand-in repository cannot take from Debian.
type Sources struct {
	XBPS  string // static program that acts by the name it is called by, or the root of an installed XBPS
	Nomad string // static program
}

// MakeInputs makes the inputs below base, or finds them made from the same
// packages and programs. Packages come from Debian's mirror; nothing else is
// fetched.
func MakeInputs(ctx context.Context, base string, src Sources, log *slog.Logger) (*Inputs, error) {
	base, err := filepath.Abs(base) // the appliance counts relative names from its own configuration
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(base, "inputs.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	kernelName, err := kernelDeb(ctx)
	if err != nil {
		return nil, err
	}
	d, err := fetchDebs(ctx, filepath.Join(base, "debs"), append(debsWanted(), kernelName))
	if err != nil {
		return nil, err
	}
	key, err := inputsKey(d, src)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(base, "inputs-"+key)
	in := &Inputs{Dir: dir, Rootfs: filepath.Join(dir, rootfsName)}
	if exists(dir) {
		return in, nil
	}
	log.Info("making the stand-in for Void's repositories", "dir", dir)
	scratch, err := os.MkdirTemp(base, ".inputs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	signer, err := signingKey(filepath.Join(base, "signing.pem"))
	if err != nil {
		return nil, err
	}
	out := filepath.Join(scratch, "out")
	m := maker{debs: d, sources: src, kernelDeb: kernelName, scratch: scratch, out: out, signer: signer}
	if err := m.make(ctx); err != nil {
		return nil, fmt.Errorf("make the stand-in repositories: %w", err)
	}
	if err := os.Chmod(out, 0o755); err != nil {
		return nil, err
	}
	return in, os.Rename(out, dir)
}

// maker makes one set of inputs.
type maker struct {
	debs      *debs
	sources   Sources
	kernelDeb string
	scratch   string
	out       string
	signer    *rsa.PrivateKey

	builders map[string]*xbps.Builder
	trees    map[string]tree // package → its files
	needs    map[string][]string
}

func (m *maker) make(ctx context.Context) error {
	m.builders, m.trees, m.needs = map[string]*xbps.Builder{}, map[string]tree{}, map[string][]string{}
	for _, part := range []string{mainPart, nonfreePart} {
		dir := filepath.Join(m.out, "void", part)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		m.builders[part] = &xbps.Builder{Dir: dir, Arch: "x86_64", Key: m.signer, SignedBy: "provision's lab", Level: zstd.SpeedDefault}
	}
	for _, r := range recipes {
		if err := m.fromDebian(ctx, r); err != nil {
			return fmt.Errorf("package %s: %w", r.name, err)
		}
	}
	for _, add := range []func(context.Context) error{m.linux, m.xbps, m.nomad} {
		if err := add(ctx); err != nil {
			return err
		}
	}
	if err := m.checkLibraries(); err != nil {
		return err
	}
	for _, b := range m.builders {
		if err := b.Finish(); err != nil {
			return err
		}
	}
	return errors.Join(m.writeKeys(), m.writeRootfs())
}

// fromDebian makes the package of a recipe.
func (m *maker) fromDebian(ctx context.Context, r recipe) error {
	all := tree{}
	for _, deb := range r.from {
		t, err := m.debs.read(ctx, deb)
		if err != nil {
			return err
		}
		all.merge(t)
	}
	files, err := all.pick(r.take)
	if err != nil {
		return err
	}
	files.merge(r.files())
	if r.own {
		own, err := ownFiles(r.name)
		if err != nil {
			return err
		}
		files.merge(own)
	}
	version := "1_1"
	if len(r.from) > 0 {
		version = m.debs.version(r.from[0])
	}
	return m.add(r.part, xbps.Package{Pkgver: r.name + "-" + version, Desc: r.desc, Depends: depends(r.depends), ConfFiles: r.conf}, files)
}

// linux makes the kernel's package, and Void's meta package that names the
// version to use.
func (m *maker) linux(ctx context.Context) error {
	busybox := filepath.Join(m.scratch, "busybox")
	program, err := content(m.trees["busybox"]["usr/bin/busybox"])
	if err != nil {
		return err
	}
	if err := os.WriteFile(busybox, program, 0o755); err != nil {
		return err
	}
	k, err := readKernel(ctx, m.debs, m.kernelDeb, busybox, m.scratch)
	if err != nil {
		return fmt.Errorf("package linux: %w", err)
	}
	series := strings.Join(strings.SplitN(k.version, ".", 3)[:2], ".") // 6.1
	err = m.add("", xbps.Package{Pkgver: "linux" + series + "-" + k.version, Desc: "Linux kernel and modules", Depends: depends([]string{"busybox"})}, k.files)
	if err != nil {
		return err
	}
	return m.add("", xbps.Package{Pkgver: "linux-" + series + "_1", Desc: "Linux kernel meta package", Depends: depends([]string{"linux" + series})}, tree{})
}

// xbps makes the package of the package manager.
func (m *maker) xbps(context.Context) error {
	files := tree{}
	info, err := os.Stat(m.sources.XBPS)
	if err != nil {
		return fmt.Errorf("package xbps: %w; make build makes the stand-in", err)
	}
	if info.IsDir() {
		all, err := xbps.Tree(os.DirFS(m.sources.XBPS))
		if err != nil {
			return fmt.Errorf("package xbps: %w", err)
		}
		for _, f := range all {
			if strings.HasPrefix(f.Path, "usr/") && !f.Mode.IsDir() {
				files.add(f)
			}
		}
	} else {
		program, err := os.ReadFile(m.sources.XBPS)
		if err != nil {
			return err
		}
		files.add(xbps.Regular("usr/bin/xbps-install", 0o755, program))
		for _, name := range []string{"xbps-query", "xbps-reconfigure", "xbps-uhelper"} {
			files.add(xbps.Symlink("usr/bin/"+name, "xbps-install"))
		}
	}
	return m.add("", xbps.Package{Pkgver: "xbps-0.60_1", Desc: "XBPS package system utilities", Depends: depends([]string{"glibc"})}, files)
}

// nomad makes Nomad's package, which Void has in nonfree.
func (m *maker) nomad(context.Context) error {
	program, err := os.ReadFile(m.sources.Nomad)
	if err != nil {
		return fmt.Errorf("package nomad: %w; make build makes the stand-in", err)
	}
	files, err := ownFiles("nomad")
	if err != nil {
		return err
	}
	files.add(
		xbps.Regular("usr/bin/nomad", 0o755, program),
		xbps.Directory("etc/nomad.d", 0o755),
		xbps.Directory("var/lib/nomad", 0o700),
	)
	return m.add(nonfreePart, xbps.Package{Pkgver: "nomad-2.0.6_1", Desc: "Distributed, highly available scheduler", Depends: depends([]string{"glibc", "busybox"})}, files)
}

// add builds a package in a part of the repository and remembers its files.
func (m *maker) add(part string, p xbps.Package, files tree) error {
	if part == "" {
		part = mainPart
	}
	p.Arch = "x86_64"
	p.Depends = slices.DeleteFunc(p.Depends, func(dep string) bool { return dep == "" })
	m.trees[p.Name()] = files
	for _, dep := range p.Depends {
		name, _ := xbps.DependencyName(dep)
		m.needs[p.Name()] = append(m.needs[p.Name()], name)
	}
	_, err := m.builders[part].Add(xbps.Spec{Package: p, Files: files.files()})
	return err
}

// writeKeys writes the key that machines must trust, under the name that XBPS
// looks for.
func (m *maker) writeKeys() error {
	dir := filepath.Join(m.out, "keys")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name, text, err := m.builders[mainPart].PublicKey().Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
}

// writeRootfs writes the tarball of the installer's tools.
func (m *maker) writeRootfs() error {
	all := tree{}
	for _, name := range rootfsOf {
		all.merge(m.trees[name])
	}
	f, err := os.Create(filepath.Join(m.out, rootfsName))
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := xz.NewWriter(f)
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	if err := writeTarball(w, all); err != nil {
		return fmt.Errorf("write %s: %w", rootfsName, err)
	}
	return errors.Join(w.Close(), z.Close(), f.Close())
}

// writeTarball writes t as Void's tarballs are: names begin with "./", every
// folder comes before its files.
func writeTarball(w *tar.Writer, t tree) error {
	made := map[string]bool{".": true}
	for _, f := range t.files() {
		var above []string
		for dir := filepath.Dir(f.Path); !made[dir]; dir = filepath.Dir(dir) {
			made[dir] = true
			if _, listed := t[dir]; !listed {
				above = append(above, dir)
			}
		}
		for _, dir := range slices.Backward(above) {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "./" + dir + "/", Mode: 0o755}); err != nil {
				return err
			}
		}
		h := &tar.Header{Name: "./" + f.Path, Mode: permBits(f.Mode)}
		var body []byte
		switch f.Mode.Type() {
		case fs.ModeDir:
			made[f.Path] = true
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		case fs.ModeSymlink:
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.Target
		default:
			var err error
			if body, err = content(f); err != nil {
				return err
			}
			h.Typeflag, h.Size = tar.TypeReg, int64(len(body))
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(body); err != nil {
			return err
		}
	}
	return nil
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

// depends writes dependencies on any version, as XBPS wants them.
func depends(names []string) []string {
	var out []string
	for _, name := range names {
		out = append(out, name+">=0")
	}
	return out
}

// octal reads the modes of recipes, which are constants.
func octal(s string) fs.FileMode {
	n, err := strconv.ParseUint(s, 8, 12)
	if err != nil {
		panic(err)
	}
	mode := fs.FileMode(n & 0o777)
	if n&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}

func permBits(m fs.FileMode) int64 {
	bits := int64(m.Perm())
	if m&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}

// signingKey is the lab's own package key, made once.
func signingKey(file string) (*rsa.PrivateKey, error) {
	if text, err := os.ReadFile(file); err == nil {
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("%s is no key: remove it", file)
		}
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return key, os.WriteFile(file, text, 0o600)
}

// inputsKey tells one set of inputs from another.
func inputsKey(d *debs, src Sources) (string, error) {
	h := sha256.New()
	for _, fsys := range []embed.FS{voidFiles, recipeText} {
		err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			body, err := fsys.ReadFile(name)
			fmt.Fprintf(h, "%s %d\n%s", name, len(body), body)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	var files []string
	for _, f := range d.file {
		files = append(files, filepath.Base(f))
	}
	slices.Sort(files)
	fmt.Fprintln(h, files)
	for _, program := range []string{src.XBPS, src.Nomad} {
		info, err := os.Stat(program)
		if err != nil {
			return "", fmt.Errorf("%w: make build makes it", err)
		}
		if info.IsDir() {
			fmt.Fprintln(h, program, info.ModTime())
			continue
		}
		body, err := os.ReadFile(program)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%x\n", sha256.Sum256(body))
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// lock holds a file so that two labs do not make the same thing at once.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return func() { f.Close() }, nil
}
