package daemon

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"provision.internal/images"
	"provision.internal/images/release"
	"provision.internal/xbps"
)

// Arches are the machines that the appliance installs, as XBPS calls them: one
// name, or several in a list or with spaces between.
type Arches []string

// UnmarshalText reads names with spaces or commas between.
func (a *Arches) UnmarshalText(text []byte) error {
	*a = strings.FieldsFunc(string(text), func(r rune) bool { return r == ' ' || r == ',' })
	return nil
}

// Date is a release of Void's, 20250202: text in YAML with quotes and without.
type Date string

// UnmarshalText takes the text as it is.
func (d *Date) UnmarshalText(text []byte) error {
	*d = Date(text)
	return nil
}

// C libraries.
const (
	glibc = "glibc"
	musl  = "musl"
)

// withLibc is arch with the C library that libc names; as it is when libc is
// empty.
func withLibc(arch, libc string) string {
	base, _ := strings.CutSuffix(arch, "-musl")
	switch libc {
	case glibc:
		return base
	case musl:
		return base + "-musl"
	}
	return arch
}

// installers are what installer images are made for: each machine's, with the C
// library of images.libc. An installer of either kind installs systems of both.
func (im Images) installers() []string {
	var all []string
	for _, arch := range im.Arch {
		all = append(all, withLibc(arch, im.Libc))
	}
	return all
}

// target is the architecture of the systems that are installed on a machine: as
// XBPS calls it, with the C library of the role or else of the appliance. machine is what the
// kernel calls it (x86_64, aarch64).
func (im Images) target(machine, libc string) (string, error) {
	for _, arch := range im.installers() {
		if base, _ := strings.CutSuffix(arch, "-musl"); base == machine {
			return withLibc(arch, libc), nil
		}
	}
	return "", fmt.Errorf("the machine is %s and images.arch is %s: add it there", machine, strings.Join(im.Arch, " "))
}

// folders are the repositories for arch below the mirror's root. What the configuration
// lists is for the first of images.arch; all others are where Void has them.
func (im Images) folders(arch string) []string {
	first := len(im.Arch) > 0 && arch == im.installers()[0]
	if first && len(im.Repositories) > 0 {
		return im.Repositories
	}
	void := xbps.Folders(arch)
	if first && im.Repository != "" {
		if _, err := os.Stat(filepath.Join(im.Repository, void[0])); err != nil {
			return []string{""} // the folder is a repository itself
		}
	}
	return void
}

// trusted are the keys that packages are held to: the operator's, else Void's.
func (im Images) trusted() (xbps.Keys, error) {
	if im.Keys == "" {
		return xbps.VoidKeys(), nil
	}
	return xbps.LoadKeys(im.Keys)
}

// release is where the ROOTFS comes from; without a name when it is a file of the
// operator's.
func (im Images) release() images.Release {
	if im.ROOTFS != "" {
		return images.Release{}
	}
	return images.Release{Name: string(im.Release), Key: im.ReleaseKey, Upstream: im.Upstream}
}

func (im Images) validate(fs *Faults) {
	if im.Repository != "" {
		for i, r := range im.Repositories {
			if strings.HasPrefix(r, "/") || slices.Contains(strings.Split(r, "/"), "..") {
				fs.add(fmt.Sprintf("images.repositories[%d]", i), "%q is no folder below images.repository", r)
			}
		}
		im.validateFolder(fs)
	} else {
		im.validateUpstream(fs)
	}
	if im.Kernel == "" {
		fs.add("images.kernel", "is missing: name the package of the installer's kernel")
	}
	im.validateArch(fs)
	im.validateLoaders(fs)
	if im.ROOTFS == "" && im.Repository == "" {
		if _, err := release.Key(string(im.Release), im.ReleaseKey); err != nil {
			fs.add("images.release", "%v", err)
		}
	}
}

// validateFolder checks what a site with its own mirror of Void must name.
func (im Images) validateFolder(fs *Faults) {
	if im.Upstream != DefaultUpstream {
		fs.add("images.upstream", "is for a site that fetches from Void, and images.repository for one that has a folder: leave one of them out")
	}
	for _, f := range []struct{ key, value, what string }{
		{"images.keys", im.Keys, "the folder with the trusted package keys"},
		{"images.rootfs", im.ROOTFS, "Void's ROOTFS tarball"},
	} {
		if f.value == "" {
			fs.add(f.key, "is missing: name %s", f.what)
		}
	}
}

func (im Images) validateUpstream(fs *Faults) {
	if im.Cache.Size < smallestCache {
		fs.add("images.cache.size", "%d bytes hold no system: want at least %dGiB", im.Cache.Size, smallestCache>>30)
	}
	u, err := url.Parse(im.Upstream)
	switch {
	case im.Upstream == NoUpstream:
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		fs.add("images.upstream", "%q is no URL of a mirror: want something like %s, or %s for a site without network", im.Upstream, DefaultUpstream, NoUpstream)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		fs.add("images.upstream", "may have no user, query or fragment")
	}
}

func (im Images) validateArch(fs *Faults) {
	if !slices.Contains([]string{"", glibc, musl}, im.Libc) {
		fs.add("images.libc", "%q is neither glibc nor musl", im.Libc)
	}
	if len(im.Arch) == 0 {
		fs.add("images.arch", "is empty: want one or more of %s", strings.Join(release.Arches, ", "))
	}
	seen := map[string]bool{}
	for _, arch := range im.Arch {
		base, _ := strings.CutSuffix(arch, "-musl")
		switch {
		case !slices.Contains(release.Arches, arch):
			fs.add("images.arch", "%q is none of %s", arch, strings.Join(release.Arches, ", "))
		case arch != base && im.Libc == glibc:
			fs.add("images.arch", "%s is not of images.libc, %s", arch, im.Libc)
		case seen[base]:
			fs.add("images.arch", "%s is there twice; the C library of installed systems is a role's libc", base)
		}
		seen[base] = true
	}
	if im.ROOTFS != "" && len(im.Arch) > 1 {
		fs.add("images.rootfs", "is one tarball, and images.arch has %d architectures: leave it out and name images.release", len(im.Arch))
	}
}

// tools are the packages that the roles' layouts need in the installer.
func (c Config) tools() []string {
	var all []string
	for _, role := range c.Roles {
		all = append(all, role.Tools()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
