package mirror_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/boot"
	"provision.internal/httpboot"
	"provision.internal/xbps"
	"provision.internal/xbps/mirror"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// upstream is a site with repositories, which can be made to misbehave.
type upstream struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex
	key     *rsa.PrivateKey
	files   map[string][]byte // by path
	dates   map[string]time.Time
	asked   map[string]int // requests by path, without those that a fault answered
	ranges  []string       // Range headers of packages
	indexes map[string]map[string]xbps.Package

	// fault answers a request in the place of upstream, unless it returns false.
	fault func(w http.ResponseWriter, r *http.Request, body []byte) bool
}

// epoch is when everything was published, unless a test says otherwise.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{
		t: t, key: testKey(), files: map[string][]byte{}, dates: map[string]time.Time{}, asked: map[string]int{},
		indexes: map[string]map[string]xbps.Package{},
	}
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	u.mu.Lock()
	body, ok := u.files[name]
	date := u.dates[name]
	fault := u.fault
	u.mu.Unlock()
	if fault != nil && fault(w, r, body) {
		return
	}
	u.mu.Lock()
	u.asked[name]++
	if strings.HasSuffix(name, ".xbps") {
		u.ranges = append(u.ranges, r.Header.Get("Range"))
	}
	u.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", date, bytes.NewReader(body))
}

func (u *upstream) misbehave(fault func(w http.ResponseWriter, r *http.Request, body []byte) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = fault
}

func (u *upstream) times(name string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked[name]
}

// publish adds a package to the index at repo for x86_64 and returns its content.
func (u *upstream) publish(repo, pkgver string, size int) []byte {
	u.t.Helper()
	return u.add(repo, xbps.Package{Pkgver: pkgver, Arch: "x86_64"}, size)
}

func (u *upstream) add(repo string, p xbps.Package, size int) []byte {
	u.t.Helper()
	body := make([]byte, size)
	_, _ = rand.Read(body) // never fails
	digest := sha256.Sum256(body)
	p.SHA256, p.Size = hex.EncodeToString(digest[:]), uint64(size)
	signature, err := rsa.SignPKCS1v15(rand.Reader, u.key, crypto.SHA256, digest[:])
	if err != nil {
		u.t.Fatal(err)
	}
	u.mu.Lock()
	if u.indexes[repo] == nil {
		u.indexes[repo] = map[string]xbps.Package{}
	}
	u.indexes[repo][p.Name()] = p
	for name, content := range map[string][]byte{p.File(): body, p.File() + ".sig2": signature} {
		u.files[path.Join(repo, name)], u.dates[path.Join(repo, name)] = content, epoch
	}
	u.mu.Unlock()
	u.index(repo, epoch)
	return body
}

// index publishes the index of repo as of a time.
func (u *upstream) index(repo string, at time.Time) {
	u.t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	var buf bytes.Buffer
	x := xbps.Index{Packages: u.indexes[repo], Key: &xbps.Key{Public: &u.key.PublicKey, SignedBy: "a test"}}
	if err := x.Write(&buf); err != nil {
		u.t.Fatal(err)
	}
	name := path.Join(repo, "x86_64-repodata")
	u.files[name], u.dates[name] = buf.Bytes(), at
}

// site is a mirror with an upstream, behind a server.
type site struct {
	*upstream
	*mirror.Mirror
	t     testing.TB
	cfg   mirror.Config
	serve func(*site) *httptest.Server
	front *httptest.Server

	mu      sync.Mutex
	notices []string
	now     time.Time
}

func newSite(t testing.TB, u *upstream, change ...func(*mirror.Config)) *site {
	t.Helper()
	s := &site{upstream: u, t: t, serve: alone, now: epoch.Add(24 * time.Hour)}
	base, err := url.Parse(u.URL)
	if err != nil {
		t.Fatal(err)
	}
	k := xbps.Key{Public: &testKey().PublicKey}
	s.cfg = mirror.Config{
		Dir: t.TempDir(), Upstream: base, Keys: xbps.Keys{k.Fingerprint(): k},
		Repositories: []mirror.Repository{{Path: "current", Arch: "x86_64"}},
		Pause:        time.Millisecond,
		Log:          slog.New(slog.NewTextHandler(t.Output(), nil)),
		Notice: func(text string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.notices = append(s.notices, text)
		},
		Now: func() time.Time {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.now
		},
	}
	for _, f := range change {
		f(&s.cfg)
	}
	s.open()
	t.Cleanup(s.close)
	return s
}

func (s *site) open() {
	s.t.Helper()
	m, err := mirror.Open(s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Mirror = m
	s.front = s.serve(s)
}

// alone serves nothing but the mirror.
func alone(s *site) *httptest.Server { return httptest.NewServer(s.Mirror) }

// asAppliance serves the mirror as the appliance does: behind its other resources, and on
// connections that send header and content together.
func asAppliance(s *site) *httptest.Server {
	all := &httpboot.Server{Packages: s.Mirror, Log: s.cfg.Log}
	front := httptest.NewUnstartedServer(nil)
	front.Config = httpboot.NewHTTPServer(all.Plain(), s.cfg.Log)
	front.Listener = httpboot.Gather(front.Listener)
	front.Start()
	front.URL += strings.TrimSuffix(boot.RepoPath, "/")
	return front
}

// bothFronts runs a test with the mirror alone and as the appliance serves it. The test gives its sites
// to behind.
func bothFronts(t *testing.T, test func(t *testing.T, behind func(*site))) {
	t.Run("alone", func(t *testing.T) { test(t, func(*site) {}) })
	t.Run("as the appliance", func(t *testing.T) {
		test(t, func(s *site) {
			s.front.Close()
			s.serve = asAppliance
			s.front = s.serve(s)
		})
	})
}

func (s *site) close() {
	s.front.Close()
	if err := s.Mirror.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *site) restart() {
	s.t.Helper()
	s.close()
	s.open()
}

// later lets time pass, so that indexes are asked for again.
func (s *site) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// texts are the notices so far.
func (s *site) texts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.notices)
}

func (s *site) told(text string) bool {
	return slices.ContainsFunc(s.texts(), func(n string) bool { return strings.Contains(n, text) })
}

// answer is what a client got; short when the connection ended before the content did.
type answer struct {
	status int
	header http.Header
	body   []byte
	short  bool
}

func (s *site) get(name string, header ...string) answer {
	s.t.Helper()
	a, err := fetch(s.t.Context(), s.front.URL+"/"+name, header...)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func fetch(ctx context.Context, url string, header ...string) (a answer, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return a, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	a = answer{status: res.StatusCode, header: res.Header}
	a.body, err = io.ReadAll(res.Body)
	a.short = err != nil
	return a, nil
}

// want fails the test unless name has the content.
func (s *site) want(name string, content []byte) {
	s.t.Helper()
	a := s.get(name)
	if a.status != http.StatusOK || a.short || !bytes.Equal(a.body, content) {
		s.t.Errorf("GET %s: status %d, %d bytes, short %t; want 200 with the %d right bytes", name, a.status, len(a.body), a.short, len(content))
	}
}

// refused fails the test unless name is refused with the status.
func (s *site) refused(name string, status int) {
	s.t.Helper()
	if a := s.get(name); a.status != status {
		s.t.Errorf("GET %s: status %d with %q, want %d", name, a.status, fmt.Sprintf("%.80s", a.body), status)
	}
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// firstOf returns the first name with the prefix and the suffix.
func firstOf(files map[string][]byte, prefix, suffix string) string {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			return name
		}
	}
	return ""
}
