package mirror

import (
	"regexp"
	"strings"

	"provision.internal/xbps"
)

// kind is what a path of a repository leads to.
type kind int

const (
	indexFile kind = iota
	packageFile
	signatureFile
)

// location is one file of a repository, as a request names it.
type location struct {
	snapshot string // empty for the live view
	repo     string // "current/nonfree"; empty for the root
	file     string // "x86_64-repodata", "foo-1.0_1.x86_64.xbps", "foo-1.0_1.x86_64.xbps.sig2"
	kind     kind
	arch     string // of the index, or of the package: may be noarch
}

// maxDepth is how many folders deep repositories are: Void's are at most three.
const maxDepth = 4

var (
	folderName   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	archName     = regexp.MustCompile(`^[a-z0-9_]{1,32}(-musl)?$`)
	packageName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._@~:-]{0,200}$`)
	snapshotName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
)

// locate reads a path without its first slash. Everything that is not of the
// shape of a repository is refused: upstream's other files are none of ours.
func locate(path string) (location, bool) {
	var l location
	if rest, ok := strings.CutPrefix(path, "@"); ok {
		l.snapshot, path, ok = strings.Cut(rest, "/")
		if !ok || !ValidName(l.snapshot) {
			return l, false
		}
	}
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		l.repo, path = path[:i], path[i+1:]
		if !validRepo(l.repo) {
			return l, false
		}
	}
	l.file = path
	if arch, ok := strings.CutSuffix(path, "-repodata"); ok {
		l.kind, l.arch = indexFile, arch
		return l, archName.MatchString(arch)
	}
	path, ok := strings.CutSuffix(path, ".sig2")
	l.kind = packageFile
	if ok {
		l.kind = signatureFile
	}
	path, ok = strings.CutSuffix(path, ".xbps")
	dot := strings.LastIndexByte(path, '.')
	if !ok || dot < 0 {
		return l, false
	}
	pkgver := path[:dot]
	l.arch = path[dot+1:]
	_, _, ok = xbps.SplitPkgver(pkgver)
	return l, ok && packageName.MatchString(pkgver) && archName.MatchString(l.arch)
}

func validRepo(repo string) bool {
	parts := strings.Split(repo, "/")
	for _, p := range parts {
		if !folderName.MatchString(p) {
			return false
		}
	}
	return len(parts) <= maxDepth
}

// ValidName reports whether name can be a snapshot's.
func ValidName(name string) bool { return snapshotName.MatchString(name) }

// path is where upstream has the file.
func (l location) path() string { return join(l.repo, l.file) }

// packageFile is the name of the package file that l is or belongs to.
func (l location) packageFile() string { return strings.TrimSuffix(l.file, ".sig2") }

func join(repo, file string) string {
	if repo == "" {
		return file
	}
	return repo + "/" + file
}
