package mirror

import (
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

// word reports whether s has at most limit characters, begins with one of first, and
// has only those of rest. It stands for an expression, because each request asks.
func word(s string, limit int, first, rest charset) bool {
	if s == "" || len(s) > limit || !first.has(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !rest.has(s[i]) {
			return false
		}
	}
	return true
}

// charset is a set of bytes.
type charset [4]uint64

func (c charset) has(b byte) bool { return c[b>>6]&(1<<(b&63)) != 0 }

// chars makes a set of classes: a for lower-case letters, A for upper-case ones, 0 for digits;
// everything else stands for itself.
func chars(classes string) (c charset) {
	add := func(from, to byte) {
		for b := int(from); b <= int(to); b++ {
			c[b>>6] |= 1 << (b & 63)
		}
	}
	for _, b := range []byte(classes) {
		switch b {
		case 'a':
			add('a', 'z')
		case 'A':
			add('A', 'Z')
		case '0':
			add('0', '9')
		default:
			add(b, b)
		}
	}
	return c
}

var (
	lower      = chars("a0")
	inFolder   = chars("a0_-")
	inArch     = chars("a0_")
	alnum      = chars("aA0")
	inPackage  = chars("aA0+._@~:-")
	inSnapshot = chars("a0._-")
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
		return l, validArch(arch)
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
	return l, ok && word(pkgver, 200, alnum, inPackage) && validArch(l.arch)
}

func validRepo(repo string) bool {
	depth := 0
	for p := range strings.SplitSeq(repo, "/") {
		if depth++; depth > maxDepth || !word(p, 64, lower, inFolder) {
			return false
		}
	}
	return true
}

func validArch(arch string) bool {
	arch, _ = strings.CutSuffix(arch, "-musl")
	return word(arch, 32, inArch, inArch)
}

// ValidName reports whether name can be a snapshot's.
func ValidName(name string) bool { return word(name, 64, lower, inSnapshot) }

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
