// Package release knows what Void Linux publishes as a release: which files
// there are, under which names, and who signed the list of them. It fetches and
// keeps nothing.
package release

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Names of the signed list in every release's folder.
const (
	SumsFile      = "sha256sum.txt"
	SignatureFile = "sha256sum.sig"
)

// Latest is the newest release whose key is pinned.
const Latest = "20250202"

// lastSignify is the last release signed with OpenBSD's signify; all later ones
// are signed with minisign.
const lastSignify = "20221001"

// pinned are Void's keys. Each release has its own, which Void generates for it and
// names in the release's announcement.
var pinned = map[string]string{
	"20250202": "RWT5+SoQD+dWTeOdNuc4Q/jq2+3+jpql7+JJp4WukkxTdpsZlk2EGuPj",
}

// Arches are the machines that Void publishes a ROOTFS of and that this
// appliance can install, as XBPS calls them.
var Arches = []string{"x86_64", "x86_64-musl", "aarch64", "aarch64-musl"}

var date = regexp.MustCompile(`^[0-9]{8}$`)

// CheckName reports why name cannot be a release's.
func CheckName(name string) error {
	switch {
	case !date.MatchString(name):
		return fmt.Errorf("%q is no release: want its date, such as %s", name, Latest)
	case name <= lastSignify:
		return fmt.Errorf("release %s is signed with signify, which is not supported: use a release after %s, such as %s", name, lastSignify, Latest)
	}
	return nil
}

// Key returns the public key that the named release must be signed with: own
// when it is set, else the pinned one.
func Key(name, own string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	if own != "" {
		if _, err := parseKey(own); err != nil {
			return "", err
		}
		return strings.TrimSpace(own), nil
	}
	if k, ok := pinned[name]; ok {
		return k, nil
	}
	return "", fmt.Errorf("the key of release %s is not known: take it from Void's announcement of that release and set it as images.release_key", name)
}

// Rootfs is the name of the ROOTFS tarball of a release: a small system with
// XBPS and the tools for file systems, without a kernel.
func Rootfs(name, arch string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	if !slices.Contains(Arches, arch) {
		return "", fmt.Errorf("there is no ROOTFS for %q: want one of %s", arch, strings.Join(Arches, ", "))
	}
	return "void-" + arch + "-ROOTFS-" + name + ".tar.xz", nil
}

// Dir is the folder of a release below the root of a mirror.
func Dir(name string) string { return "live/" + name }

// What Verify fails with. Each is wrapped with the names of the file and the key.
var (
	ErrSignature = errors.New("the signature is not valid")
	ErrSums      = errors.New("the list cannot be read")
)
