package xbps_test

import (
	"slices"
	"testing"

	"provision.internal/xbps"
)

// versions are in ascending order, apart from those called equal below.
var versions = []string{
	"", "0_1", "0.9alpha", "0.9beta1", "0.9rc1", "0.9RC2_1", "0.9", "0.9_1", "0.9_2", "0.9a", "0.9b_1", "0.9.1_1", "0.10_1",
	"1.0alpha_1", "1.0pre1_1", "1.0", "1.0.0_1", "1.0pl1_1", "1.0.1", "1.0-1+x~2", "1.1_99", "1.1.1q_1", "1.1.1r_1",
	"20240101_1", "2147483647_1", "4294967297_1", "99999999999999_1", "1_2_3", "9999_1", "é1.0_1", "1..2_1", "_1", "alpha",
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.0_1", "1.0_1", 0},
		{"1.0_1", "1.0_2", -1},
		{"1.0_9", "1.0.1_1", -1},
		{"1.0.0_1", "1.0_1", 0},
		{"1.9_1", "1.10_1", -1},
		{"1.0alpha1_1", "1.0beta1_1", -1},
		{"1.0beta1_1", "1.0rc1_1", -1},
		{"1.0pre1_1", "1.0rc1_1", 0},
		{"1.0rc9_1", "1.0_1", -1},
		{"1.0_1", "1.0a_1", -1},
		{"1.1.1q_1", "1.1.1r_1", -1},
		{"1.0A_1", "1.0a_1", 0},
		{"1.0pl1_1", "1.0.1_1", 0},
		{"6.1.140_1", "6.1.99_1", 1},
	} {
		if got := xbps.Compare(c.a, c.b); got != c.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

var patterns = []struct {
	pkgver, pattern string
	want            bool
}{
	{"foo-1.0_1", "foo-1.0_1", true},
	{"foo-1.0_1", "foo>=1.0", true},
	{"foo-1.0_1", "foo>=1.0_2", false},
	{"foo-1.0_1", "foo>1.0", true},
	{"foo-1.0_1", "foo>1.0_1", false},
	{"foo-1.0_1", "foo<=1.0_1", true},
	{"foo-1.0_1", "foo<1.0_1", false},
	{"foo-1.5_1", "foo>=1.0<2.0", true},
	{"foo-2.5_1", "foo>=1.0<2.0", false},
	{"foo-2.0_1", "foo>1.0<=2.0_1", true},
	{"foo-1.0_1", "fo>=1.0", false},
	{"foo-bar-1.0_1", "foo>=0", false},
	{"foo-bar-1.0_1", "foo-bar>=0", true},
	{"foo-1.0_1", "foo-[0-9]*", true},
	{"foo-x1.0_1", "foo-[!0-9]*", true},
	{"foo-1.0_1", "foo-1.?_1", true},
	{"foo-1.0_1", "bar-[0-9]*", false},
	{"foo-1.0_1", "foo", false},
	{"foo-1.0_1", ">=1", false},
	{"perl-Digest-1.17_01_1", "perl-Digest>=1.17_01_1", true},
	{"foo-1.0", "foo>=1.0", true},
	{"foo-1.0_a", "foo>=1.0", true},
	{"1.0_1", ">=0", false},
}

func TestMatch(t *testing.T) {
	for _, c := range patterns {
		if got := xbps.Match(c.pkgver, c.pattern); got != c.want {
			t.Errorf("Match(%q, %q) = %t, want %t", c.pkgver, c.pattern, got, c.want)
		}
	}
}

func TestSplitPkgver(t *testing.T) {
	for _, c := range []struct {
		in, name, version string
		ok                bool
	}{
		{"foo-1.0_1", "foo", "1.0_1", true},
		{"foo-bar-1.0_1", "foo-bar", "1.0_1", true},
		{"perl-Digest-1.17_01_1", "perl-Digest", "1.17_01_1", true},
		{"foo-1.0", "", "", false},
		{"foo-1.0_", "", "", false},
		{"foo-1.0_a", "", "", false},
		{"foo-_1", "", "", false},
		{"foo", "", "", false},
		{"", "", "", false},
	} {
		name, version, ok := xbps.SplitPkgver(c.in)
		if name != c.name || version != c.version || ok != c.ok {
			t.Errorf("SplitPkgver(%q) = %q, %q, %t; want %q, %q, %t", c.in, name, version, ok, c.name, c.version, c.ok)
		}
	}
}

func TestDependencyName(t *testing.T) {
	for _, c := range []struct {
		in, name string
		ok       bool
	}{
		{"foo>=1.0", "foo", true},
		{"foo-[0-9]*", "foo", true},
		{"foo-1.0_1", "foo", true},
		{"foo-bar<2", "foo-bar", true},
		{"foo", "", false},
		{">=1", "", false},
	} {
		if name, ok := xbps.DependencyName(c.in); name != c.name || ok != c.ok {
			t.Errorf("DependencyName(%q) = %q, %t; want %q, %t", c.in, name, ok, c.name, c.ok)
		}
	}
}

// FuzzCompare looks for versions that are not ordered the same both ways.
func FuzzCompare(f *testing.F) {
	for _, a := range versions {
		f.Add(a, slices.Max(versions))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if x, y := xbps.Compare(a, b), xbps.Compare(b, a); x != -y && len(a) < 9 && len(b) < 9 {
			t.Errorf("Compare(%q, %q) = %d, the other way %d", a, b, x, y)
		}
		if c := xbps.Compare(a, a); c != 0 {
			t.Errorf("Compare(%q, itself) = %d", a, c)
		}
	})
}

// FuzzMatch looks for panics, and for a package that does not match itself.
func FuzzMatch(f *testing.F) {
	for _, c := range patterns {
		f.Add(c.pkgver, c.pattern)
	}
	f.Fuzz(func(t *testing.T, pkgver, pattern string) {
		xbps.Match(pkgver, pattern)
		xbps.DependencyName(pattern)
		if !xbps.Match(pkgver, pkgver) {
			t.Errorf("%q does not match itself", pkgver)
		}
		if name, version, ok := xbps.SplitPkgver(pkgver); ok && name+"-"+version != pkgver {
			t.Errorf("SplitPkgver(%q) = %q, %q", pkgver, name, version)
		}
	})
}
