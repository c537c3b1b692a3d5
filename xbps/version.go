package xbps

import "strings"

// Values that a version's words take among its numbers, as XBPS orders them:
// 1.0alpha < 1.0beta < 1.0rc < 1.0. The numbers are part of the format.
var words = []struct {
	text  string
	value int32
}{
	{"alpha", -3},
	{"beta", -2},
	{"pre", -1},
	{"rc", -1},
	{"pl", 0},
	{".", 0},
}

// version is a version in comparable form.
type version struct {
	parts    []int32
	revision int32 // what follows "_": looked at when all parts are equal
}

// parseVersion accepts any string. Characters without a meaning are skipped,
// and numbers wrap at 32 bits: XBPS does both, and must be agreed with even
// where it is wrong.
func parseVersion(s string) version {
	v := version{parts: make([]int32, 0, 8)}
	for s != "" {
		c := s[0]
		switch {
		case isDigit(c):
			var n int32
			n, s = number(s)
			v.parts = append(v.parts, n)
			continue
		case c == '_':
			v.revision, s = number(s[1:])
			continue
		}
		if value, rest, ok := word(s); ok {
			v.parts = append(v.parts, value)
			s = rest
			continue
		}
		// A lone letter is a dot and its place in the alphabet, so that
		// 1.0a < 1.0b and both follow 1.0.
		if l := c | 0x20; l >= 'a' && l <= 'z' {
			v.parts = append(v.parts, 0, int32(l-'a')+1)
		}
		s = s[1:]
	}
	return v
}

func number(s string) (n int32, rest string) {
	for s != "" && isDigit(s[0]) {
		n = n*10 + int32(s[0]-'0')
		s = s[1:]
	}
	return n, s
}

func word(s string) (value int32, rest string, ok bool) {
	for _, w := range words {
		if len(s) >= len(w.text) && strings.EqualFold(s[:len(w.text)], w.text) {
			return w.value, s[len(w.text):], true
		}
	}
	return 0, s, false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Compare orders two versions ("1.0_1") as XBPS does: -1 when a is older than b,
// 0 when they are equal, 1 when a is newer. Missing parts count as zero.
func Compare(a, b string) int {
	l, r := parseVersion(a), parseVersion(b)
	for i := range max(len(l.parts), len(r.parts)) {
		if d := part(l.parts, i) - part(r.parts, i); d != 0 {
			return sign(d)
		}
	}
	return sign(l.revision - r.revision)
}

func part(p []int32, i int) int32 {
	if i < len(p) {
		return p[i]
	}
	return 0
}

func sign(d int32) int {
	switch {
	case d < 0:
		return -1
	case d > 0:
		return 1
	}
	return 0
}

// SplitPkgver takes "foo-1.0_1" apart into name and version. ok is false
// when s has no version with a revision at its end.
func SplitPkgver(s string) (name, version string, ok bool) {
	dash := strings.LastIndexByte(s, '-')
	if dash < 0 {
		return "", "", false
	}
	version = s[dash+1:]
	bar := strings.IndexByte(version, '_')
	if bar < 0 || !strings.ContainsFunc(version[:bar], func(r rune) bool { return r >= '0' && r <= '9' }) {
		return "", "", false
	}
	// Underscores inside the revision are legal: perl-Digest-1.17_01_1.
	revision := version[bar+1:]
	if revision == "" || strings.Trim(revision, "0123456789_") != "" {
		return "", "", false
	}
	return s[:dash], version, true
}
