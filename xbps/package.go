package xbps

import (
	"fmt"
	"strings"
)

// Package is a package's metadata, as props.plist and a repository's index
// hold it. Pkgver and Arch are always set.
type Package struct {
	Pkgver        string              `plist:"pkgver"` // "foo-1.0_1"
	Arch          string              `plist:"architecture"`
	Desc          string              `plist:"short_desc,omitempty"`
	Depends       []string            `plist:"run_depends,omitempty"` // "bar>=1.0_1"
	Provides      []string            `plist:"provides,omitempty"`    // virtual packages: "vbar-1.0_1"
	Conflicts     []string            `plist:"conflicts,omitempty"`
	Replaces      []string            `plist:"replaces,omitempty"`
	Reverts       []string            `plist:"reverts,omitempty"`
	ConfFiles     []string            `plist:"conf_files,omitempty"` // absolute paths
	ShlibRequires []string            `plist:"shlib-requires,omitempty"`
	ShlibProvides []string            `plist:"shlib-provides,omitempty"`
	Alternatives  map[string][]string `plist:"alternatives,omitempty"`
	Preserve      bool                `plist:"preserve,omitempty"`
	InstalledSize uint64              `plist:"installed_size"`
	SHA256        string              `plist:"filename-sha256,omitempty"` // of the package file, in an index only
	Size          uint64              `plist:"filename-size,omitempty"`   // likewise
}

// Name is the package's name, "foo".
func (p Package) Name() string {
	name, _, _ := SplitPkgver(p.Pkgver)
	return name
}

// Version is the package's version with its revision, "1.0_1".
func (p Package) Version() string {
	_, version, _ := SplitPkgver(p.Pkgver)
	return version
}

// File is the name of the package's file in its repository.
func (p Package) File() string { return p.Pkgver + "." + p.Arch + ".xbps" }

// Fits reports whether a machine of the architecture arch can use p.
func (p Package) Fits(arch string) bool { return p.Arch == arch || p.Arch == "noarch" }

// check refuses what must never reach a file name or a URL.
func (p Package) check() error {
	if name, _, ok := SplitPkgver(p.Pkgver); !ok || name == "" || !plain(p.Pkgver) {
		return fmt.Errorf("%q is no package name with a version such as foo-1.0_1", p.Pkgver)
	}
	if !plain(p.Arch) {
		return fmt.Errorf("%s: %q is no architecture", p.Pkgver, p.Arch)
	}
	if p.SHA256 != "" && (len(p.SHA256) != 64 || strings.Trim(p.SHA256, "0123456789abcdef") != "") {
		return fmt.Errorf("%s: %q is no SHA-256", p.Pkgver, p.SHA256)
	}
	return nil
}

// plain reports whether s is a harmless single path element.
func plain(s string) bool {
	if s == "" || s[0] == '.' || len(s) > 200 {
		return false
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("+-._@~:", r):
		default:
			return false
		}
	}
	return true
}

// FileList is files.plist: what a package puts on the disk. Its paths are
// absolute.
type FileList struct {
	Files     []ListedFile `plist:"files,omitempty"`
	ConfFiles []ListedFile `plist:"conf_files,omitempty"`
	Links     []ListedFile `plist:"links,omitempty"`
	Dirs      []ListedFile `plist:"dirs,omitempty"`
}

// ListedFile is one entry of a FileList.
type ListedFile struct {
	File   string `plist:"file"`
	SHA256 string `plist:"sha256,omitempty"`
	Size   uint64 `plist:"size,omitempty"`
	Target string `plist:"target,omitempty"` // links only; absolute
}
