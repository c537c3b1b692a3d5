package lab

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"provision.internal/xbps"
)

//go:embed all:void
var voidFiles embed.FS

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
	packages map[string]xbps.Package
	needs    map[string][]string
	holders  map[string]holder // path → the package that has it
}

func (m *maker) make(ctx context.Context) error {
	m.packages = map[string]xbps.Package{}
	m.builders, m.trees, m.needs, m.holders = map[string]*xbps.Builder{}, map[string]tree{}, map[string][]string{}, map[string]holder{}
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
	for _, add := range []func(context.Context) error{m.linux, m.xbps, m.nomad, m.ansible} {
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
	return errors.Join(m.writeKeys(), m.writeRootfs(rootfsName, rootfsOf), m.writeRootfs(storageName, append(storageOf, rootfsOf...)))
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
	p := xbps.Package{Pkgver: r.name + "-" + version, Desc: r.desc, Depends: depends(r.depends), ConfFiles: r.conf}
	return m.build(r.part, xbps.Spec{Package: p, Install: r.install}, files)
}

// add builds a package without a script.
func (m *maker) add(part string, p xbps.Package, files tree) error {
	return m.build(part, xbps.Spec{Package: p}, files)
}

// build builds a package in a part of the repository and remembers its files.
func (m *maker) build(part string, p xbps.Spec, files tree) error {
	if part == "" {
		part = mainPart
	}
	p.Arch = "x86_64"
	if err := m.hold(p.Name(), files); err != nil {
		return err
	}
	m.trees[p.Name()] = files
	for _, dep := range p.Depends {
		name, _ := xbps.DependencyName(dep)
		m.needs[p.Name()] = append(m.needs[p.Name()], name)
	}
	p.Files = files.files()
	built, err := m.builders[part].Add(p)
	if err != nil {
		return err
	}
	m.packages[built.Name()] = built
	return nil
}

// holder is a package that has a file or a folder.
type holder struct {
	name string
	dir  bool
}

// hold remembers whose files these are. XBPS refuses to install two packages that have
// a file in common, be it the same in both; folders may be shared.
func (m *maker) hold(name string, files tree) error {
	var faults []error
	for _, f := range files.files() {
		if other, taken := m.holders[f.Path]; taken && !(other.dir && f.Mode.IsDir()) {
			faults = append(faults, fmt.Errorf("%s is in the package %s already: give it to one of them, and let the other depend on it", f.Path, other.name))
			continue
		}
		m.holders[f.Path] = holder{name, f.Mode.IsDir()}
	}
	return errors.Join(faults...)
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

// depends writes dependencies on any version, as XBPS wants them.
func depends(names []string) []string {
	var out []string
	for _, name := range names {
		out = append(out, name+">=0")
	}
	return out
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
