package xbps_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/xbps"
)

// randomRepository adds packages that depend on each other in all ways, with some
// circles, virtual packages and replacements, and nothing missing.
func randomRepository(t *testing.T, r *rand.Rand, b *xbps.Builder) []string {
	t.Helper()
	const n = 12
	var names []string
	for i := range n {
		p := xbps.Package{Pkgver: fmt.Sprintf("p%02d-1.%d_1", i, r.IntN(3)), Arch: "noarch", Desc: "one of many"}
		for range r.IntN(4) {
			switch j := r.IntN(n); r.IntN(4) {
			case 0:
				p.Depends = append(p.Depends, fmt.Sprintf("v%d>=0", j%4))
			case 1:
				p.Depends = append(p.Depends, fmt.Sprintf("p%02d>=1.0_1<2", j))
			default:
				p.Depends = append(p.Depends, fmt.Sprintf("p%02d>=0", j))
			}
		}
		if i < 4 || r.IntN(4) == 0 {
			p.Provides = append(p.Provides, fmt.Sprintf("v%d-%d_1", i%4, r.IntN(5)))
		}
		if r.IntN(12) == 0 {
			p.Replaces = append(p.Replaces, fmt.Sprintf("p%02d>=0", r.IntN(n)))
		}
		if _, err := b.Add(xbps.Spec{Package: p}); err != nil {
			t.Fatal(err)
		}
		names = append(names, p.Name())
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	return names
}

// The packages that Resolve chooses are those that xbps-install would install.
func TestResolveChoosesWhatTheRealOneDoes(t *testing.T) {
	run := realXBPS(t)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := builder(t)
		names := randomRepository(t, r, b)
		server := httptest.NewServer(http.FileServer(http.Dir(b.Dir)))
		root := t.TempDir()
		name, content, err := b.PublicKey().Marshal()
		if err != nil {
			t.Fatal(err)
		}
		keys := filepath.Join(root, "var/db/xbps/keys")
		if err := os.MkdirAll(keys, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(keys, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
		repo, err := xbps.OpenRepository(b.Dir, "x86_64", trust(t, b))
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			wanted := []string{names[r.IntN(len(names))], names[r.IntN(len(names))]}
			out, code := run("xbps-install", append([]string{"-n", "-M", "-S", "-i", "-R", server.URL, "-r", root}, wanted...)...)
			choices, err := xbps.Resolve([]*xbps.Index{repo.Index}, wanted, nil)
			if code != 0 || err != nil {
				t.Errorf("seed %d, %v: exit %d, %v\n%s", seed, wanted, code, err, out)
				continue
			}
			var real, ours []string
			for line := range strings.Lines(out) {
				if f := strings.Fields(line); len(f) > 3 && f[1] == "install" {
					real = append(real, f[0])
				}
			}
			for _, c := range choices {
				ours = append(ours, c.Pkgver)
			}
			slices.Sort(real)
			slices.Sort(ours)
			if diff := cmp.Diff(real, ours); diff != "" {
				t.Errorf("seed %d, %v (-real +ours):\n%s%s", seed, wanted, diff, out)
			}
		}
		server.Close()
	}
}
