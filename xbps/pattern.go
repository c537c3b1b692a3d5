package xbps

import (
	"path"
	"strings"
)

// Match reports whether the package pkgver ("foo-1.0_1") satisfies pattern: the
// same pkgver, a range such as foo>=1.0, foo<2.0_1 or foo>=1.0<2.0, or a glob such as
// foo-[0-9]*.
func Match(pkgver, pattern string) bool {
	switch {
	case pkgver == pattern:
		return true
	case strings.ContainsAny(pattern, "<>"):
		return matchRange(pkgver, pattern)
	case strings.ContainsAny(pattern, "*?[]"):
		return matchGlob(pkgver, pattern)
	}
	return false
}

func matchRange(pkgver, pattern string) bool {
	dash := strings.LastIndexByte(pkgver, '-')
	op := strings.IndexAny(pattern, "<>")
	if dash < 0 || pkgver[:dash] != pattern[:op] {
		return false
	}
	version, rest := pkgver[dash+1:], pattern[op:]
	lower := rest
	if rest[0] == '>' {
		if i := strings.IndexByte(rest, '<'); i >= 0 {
			lower = rest[:i]
			if !within(version, rest[i:]) {
				return false
			}
		}
	}
	return within(version, lower)
}

// within reports whether version satisfies one bound, "<=1.0".
func within(version, bound string) bool {
	orEqual := len(bound) > 1 && bound[1] == '='
	limit := bound[1:]
	if orEqual {
		limit = bound[2:]
	}
	c := Compare(version, limit)
	if c == 0 {
		return orEqual
	}
	return (c < 0) == (bound[0] == '<')
}

// matchGlob does as fnmatch with FNM_PERIOD does. A pattern with an unclosed
// bracket matches nothing.
func matchGlob(pkgver, pattern string) bool {
	if strings.HasPrefix(pkgver, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), pkgver)
	return err == nil && ok
}

// DependencyName returns the package name in a dependency: of a pattern what
// is before the range or glob, of a pkgver its name. ok is false for anything else,
// a bare name included: XBPS refuses packages that depend on one.
func DependencyName(dep string) (name string, ok bool) {
	if i := strings.IndexAny(dep, "><*?[]"); i >= 0 {
		name = strings.TrimSuffix(dep[:i], "-")
		return name, name != ""
	}
	name, _, ok = SplitPkgver(dep)
	return name, ok
}

// isPattern reports whether dep has a range or a glob.
func isPattern(dep string) bool { return strings.ContainsAny(dep, "><*?[]") }
