package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"provision.internal/xbps"
)

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

// xbps makes the package of the package manager: of the stand-in, or of the tree
// that LAB_XBPS names. A library of that tree which another package has stays
// there, and is depended on.
func (m *maker) xbps(context.Context) error {
	info, err := os.Stat(m.sources.XBPS)
	if err != nil {
		return fmt.Errorf("package xbps: %w; make build makes the stand-in", err)
	}
	files, needs := tree{}, []string{"glibc"}
	if info.IsDir() {
		if files, err = installedXBPS(m.sources.XBPS); err != nil {
			return fmt.Errorf("package xbps: %w", err)
		}
		for _, f := range files.files() {
			if other, ok := m.holders[f.Path]; ok {
				delete(files, f.Path)
				needs = append(needs, other.name)
			}
		}
		slices.Sort(needs)
		needs = slices.Compact(needs)
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
	return m.add("", xbps.Package{Pkgver: "xbps-0.60_1", Desc: "XBPS package system utilities", Depends: depends(needs)}, files)
}

// installedXBPS returns what is below usr of an installed XBPS, laid out as Void
// lays it out.
func installedXBPS(root string) (tree, error) {
	if program := filepath.Join(root, "usr/bin/xbps-install"); !exists(program) {
		return nil, fmt.Errorf("%s is missing: LAB_XBPS names the folder that has usr/ of an installed XBPS, with its libraries", program)
	}
	all, err := xbps.Tree(os.DirFS(root))
	if err != nil {
		return nil, err
	}
	files := tree{}
	for _, f := range all {
		if strings.HasPrefix(f.Path, "usr/") && !f.Mode.IsDir() {
			f.Path = asVoid(f.Path)
			files.add(f)
		}
	}
	return files, nil
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

// ansible makes the package of Ansible, which on a real host needs Python.
func (m *maker) ansible(context.Context) error {
	program, err := os.ReadFile(m.sources.Ansible)
	if err != nil {
		return fmt.Errorf("package ansible-core: %w; make build makes the stand-in", err)
	}
	files := tree{}
	files.add(xbps.Regular("usr/bin/ansible-playbook", 0o755, program))
	return m.add("", xbps.Package{Pkgver: "ansible-core-2.18.1_1", Desc: "Simple deployment, configuration management and execution framework", Depends: depends([]string{"glibc"})}, files)
}
