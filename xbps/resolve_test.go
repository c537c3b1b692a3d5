package xbps_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/xbps"
)

// index makes one from lines such as "foo-1.0_1 bar>=1 = virtual-1_1 ! other>=0":
// dependencies, then provides, conflicts, and replaces after "/".
func index(lines ...string) *xbps.Index {
	x := &xbps.Index{Packages: map[string]xbps.Package{}}
	for _, line := range lines {
		fields := strings.Fields(line)
		p := xbps.Package{Pkgver: fields[0], Arch: "noarch"}
		to := &p.Depends
		for _, f := range fields[1:] {
			switch f {
			case "=":
				to = &p.Provides
			case "!":
				to = &p.Conflicts
			case "/":
				to = &p.Replaces
			default:
				*to = append(*to, f)
			}
		}
		x.Packages[p.Name()] = p
	}
	return x
}

func TestResolve(t *testing.T) {
	main := index(
		"base-1.0_1", "libc-2.36_1", "sh-1.0_1 libc>=2.0 = shell-1_1", "bash-5.2_1 libc>=2.36_1 = shell-2_1",
		"app-1.0_1 libc>=2.0<3.0 shell>=0", "needs-new-1.0_1 libc>=3.0", "a-1_1 b>=0", "b-1_1 a>=0 libc>=0",
		"exact-1_1 libc-2.36_1", "glob-1_1 libc-[0-9]*", "self-1_1 vself>=1 = vself-1_1", "dep-by-name-1_1 libc",
		"enemy-1_1 libc>=0 ! shell>=0", "sh-and-enemy-1_1 sh>=0 enemy>=0", "two-1_1 needs-new>=0 missing>=1",
		"nonfree-wanted-1_1 extra>=1", "new-sh-2_1 libc>=0 ! sh>=0 / sh>=0", "needs-both-1_1 sh>=0 new-sh>=0", "same-1_1 / same<1_1",
	)
	second := index("extra-1.0_1 libc>=0", "libc-9.9_1", "sh-0.1_1")
	for _, c := range []struct {
		wanted    string
		installed []string
		want      string // in the order of installation; ~ marks automatic ones
		fault     string
	}{
		{wanted: "base", want: "base-1.0_1"},
		{wanted: "sh", want: "~libc-2.36_1 sh-1.0_1"},
		{wanted: "app", want: "~libc-2.36_1 ~bash-5.2_1 app-1.0_1"}, // bash is the first provider by name
		{wanted: "sh app", want: "~libc-2.36_1 sh-1.0_1 app-1.0_1"}, // what was chosen already serves
		{wanted: "app sh", want: "~libc-2.36_1 sh-1.0_1 app-1.0_1"}, // so does what is yet to come
		{wanted: "shell", want: "~libc-2.36_1 bash-5.2_1"},
		{wanted: "libc>=2.0", want: "libc-2.36_1"}, // the first repository with a match wins
		{wanted: "libc>=3", want: "libc-9.9_1"},
		{wanted: "libc-2.36_1 base", want: "libc-2.36_1 base-1.0_1"},
		{wanted: "a", want: "~libc-2.36_1 ~b-1_1 a-1_1"}, // a circle
		{wanted: "exact glob", want: "~libc-2.36_1 exact-1_1 glob-1_1"},
		{wanted: "self", want: "self-1_1"},
		{wanted: "nonfree-wanted", want: "~libc-2.36_1 ~extra-1.0_1 nonfree-wanted-1_1"},
		{wanted: "sh", installed: []string{"libc-2.36_1"}, want: "sh-1.0_1"},
		{wanted: "sh", installed: []string{"sh-1.0_1", "libc-2.36_1"}, want: ""},
		{wanted: "app libc", want: "libc-2.36_1 ~bash-5.2_1 app-1.0_1"},

		{wanted: "needs-both", want: "~libc-2.36_1 ~new-sh-2_1 needs-both-1_1"}, // and no conflict with what is gone
		{wanted: "new-sh", installed: []string{"libc-2.36_1", "sh-1.0_1"}, want: "new-sh-2_1"},
		{wanted: "same", want: "same-1_1"},

		{wanted: "nothing", fault: "nothing: not found in repository pool"},
		{wanted: "dep-by-name", fault: `dep-by-name-1_1 depends on "libc", which is no pattern`},
		{wanted: "sh-and-enemy", fault: "enemy-1_1 and sh-1.0_1 exclude each other"},
		{wanted: "enemy", installed: []string{"dash-1_1 = shell-1_1"}, fault: "enemy-1_1 and dash-1_1 exclude each other"},
		{wanted: "two other", fault: "other: not found in repository pool\ntwo-1_1 depends on missing>=1: not found in repository pool"},
		{wanted: "sh needs-new", fault: "libc-9.9_1: another version of it is needed at the same time"},
	} {
		var installed []xbps.Package
		for _, p := range index(c.installed...).Packages {
			installed = append(installed, p)
		}
		choices, err := xbps.Resolve([]*xbps.Index{main, second}, strings.Fields(c.wanted), installed)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("Resolve(%s): %v, want %q", c.wanted, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("Resolve(%s): %v", c.wanted, err)
			continue
		}
		var got []string
		for _, choice := range choices {
			name := choice.Pkgver
			if choice.Automatic {
				name = "~" + name
			}
			got = append(got, name)
		}
		if diff := cmp.Diff(strings.Fields(c.want), got, cmp.Transformer("join", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
			t.Errorf("Resolve(%s) with %v installed (-want +got):\n%s", c.wanted, c.installed, diff)
		}
	}
}

func TestResolveBoundsChains(t *testing.T) {
	var lines []string
	for i := range 2000 {
		lines = append(lines, fmt.Sprintf("p%d-1_1 p%d>=0", i, i+1))
	}
	if _, err := xbps.Resolve([]*xbps.Index{index(lines...)}, []string{"p0"}, nil); err == nil || !strings.Contains(err.Error(), "chain of more than 512") {
		t.Errorf("error %v", err)
	}
}

func BenchmarkResolve(b *testing.B) {
	var lines []string
	for i := range 300 {
		lines = append(lines, fmt.Sprintf("p%d-1_1 p%d>=0 p%d>=0", i, min(299, i*2+1), min(299, i*2+2)))
	}
	x := []*xbps.Index{index(lines...)}
	for b.Loop() {
		if _, err := xbps.Resolve(x, []string{"p0", "p299"}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzResolve looks for panics and endless searches, and for an order in which
// something comes twice.
func FuzzResolve(f *testing.F) {
	f.Add("a-1_1 b>=0 = v-1_1\nb-1_1 v>=0 c>=0 / c>=0\nc-1_1 a>=0", "a c")
	f.Add("a-1_1 <>\nb-1_1 [ ! a>=0", "a b>=0 v")
	f.Fuzz(func(t *testing.T, lines, wanted string) {
		var usable []string
		for line := range strings.Lines(lines) {
			if fields := strings.Fields(line); len(fields) > 0 && len(usable) < 50 {
				if _, _, ok := xbps.SplitPkgver(fields[0]); ok {
					usable = append(usable, line)
				}
			}
		}
		choices, _ := xbps.Resolve([]*xbps.Index{index(usable...)}, strings.Fields(wanted), nil)
		seen := map[string]bool{}
		for _, c := range choices {
			if seen[c.Name()] {
				t.Errorf("%s is chosen twice", c.Name())
			}
			seen[c.Name()] = true
		}
	})
}
