package mirror_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"provision.internal/xbps/mirror"
)

// nobody takes an answer and forgets it.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(int)             {}

// BenchmarkKept is what an answer from the disk costs beside its bytes.
func BenchmarkKept(b *testing.B) {
	u := newUpstream(b)
	for i := range 300 {
		u.publish("current", fmt.Sprintf("package%d-1.0_1", i), 100)
	}
	s := newSite(b, u)
	snap, err := s.Freeze(b.Context(), "golden")
	if err != nil {
		b.Fatal(err)
	}
	var wanted []string
	for i := range 300 {
		wanted = append(wanted, fmt.Sprintf("package%d", i))
	}
	if err := s.Complete(b.Context(), snap, []mirror.Want{{Arch: "x86_64", Folders: []string{"current"}, Packages: wanted}}, nil); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"package7-1.0_1.x86_64.xbps", "package7-1.0_1.x86_64.xbps.sig2", "x86_64-repodata"} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/@golden/current/"+name, nil)
			for b.Loop() {
				s.Mirror.ServeHTTP(&nobody{http.Header{}}, r)
			}
		})
	}
}

// BenchmarkCold is a package on its way through: fetched, hashed, written and sent.
func BenchmarkCold(b *testing.B) {
	const size = 8 << 20
	u := newUpstream(b)
	u.publish("current", "foo-1.0_1", size)
	s := newSite(b, u, func(c *mirror.Config) { c.Limit = 1 << 20 }) // nothing is kept
	b.SetBytes(size)
	for b.Loop() {
		res, err := http.Get(s.front.URL + "/" + fooFile)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
			b.Fatal(n, err)
		}
		res.Body.Close()
	}
}
