package httpboot

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/images"
	"provision.internal/installer"
	"provision.internal/store"
)

var (
	mac1  = host.MAC{0x52, 0x54, 0, 0, 0, 1}
	mac2  = host.MAC{0x52, 0x54, 0, 0, 0, 2}
	uuid1 = host.UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	uuid2 = host.UUID{0xff, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	t0    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	local = netip.MustParseAddr("127.0.0.1")
	other = netip.MustParseAddr("10.77.0.9")
)

const (
	secret1 = "secret-of-the-first-boot-of-the-agent"
	secret2 = "secret-of-its-second-boot-after-reset"
)

// rig is a server on the real store with its own clock, reachable over loopback.
type rig struct {
	*Server
	store  *store.Store
	plain  *httptest.Server
	secure *httptest.Server

	authorityDir string

	mu  sync.Mutex
	now time.Time
}

func newRig(t testing.TB) *rig {
	t.Helper()
	st, err := store.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	r := &rig{store: st, now: t0}
	r.authorityDir = t.TempDir()
	authority, err := LoadAuthority(r.authorityDir, []string{"provision"}, []netip.Addr{local}, r.clock)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = &Server{
		Hosts: st, History: st, Authority: authority, Members: &members{},
		Images:     folder(t.TempDir()),
		Loaders:    fstest.MapFS{"snponly.efi": {Data: bytes.Repeat([]byte("MZ"), 4096), ModTime: t0}, "sub/x": {Data: []byte("x")}},
		Repository: t.TempDir(),
		HTTP:       "http://10.77.0.1",
		HTTPS:      "https://10.77.0.1",
		Kit: func(boot.Platform) (Kit, error) {
			return Kit{Kernel: strings.Repeat("a", 64), Initrd: strings.Repeat("b", 64), Cmdline: "console=ttyS0 quiet"}, nil
		},
		Plan: func(h host.Host, d []host.Disk) (installer.Plan, error) {
			return installer.Plan{Packages: []string{"base-system"}, Arch: "x86_64"}, nil
		},
		Now: r.clock,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	r.plain = httptest.NewUnstartedServer(nil)
	r.plain.Config = NewHTTPServer(r.Plain(), r.Log)
	r.plain.Listener = Gather(r.plain.Listener)
	r.plain.Start()
	t.Cleanup(r.plain.Close)
	r.secure = httptest.NewServer(r.Secure())
	t.Cleanup(r.secure.Close)
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// folder is images in a folder.
type folder string

func (f folder) File(sha string) (*os.File, error) {
	if len(sha) != 64 || strings.Trim(sha, "0123456789abcdef") != "" {
		return nil, images.ErrMissing
	}
	file, err := os.Open(filepath.Join(string(f), sha))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", images.ErrMissing, err)
	}
	return file, nil
}

func (f folder) put(t testing.TB, content []byte) (sha string) {
	t.Helper()
	sum := sha256.Sum256(content)
	sha = hex.EncodeToString(sum[:])
	if err := os.WriteFile(filepath.Join(string(f), sha), content, 0o644); err != nil {
		t.Fatal(err)
	}
	return sha
}

// put changes a host by the store's rules.
func (r *rig) put(t testing.TB, mac host.MAC, f func(*host.Host) error) host.Host {
	t.Helper()
	h, err := r.store.Change(mac, "test", "", f)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// admit gives mac a name and an open grant for the disk, which may be "".
func (r *rig) admit(t testing.TB, mac host.MAC, name, disk string) host.Host {
	t.Helper()
	return r.put(t, mac, func(h *host.Host) (err error) {
		if *h, err = h.Advance(host.Admitted, r.clock()); err != nil {
			return err
		}
		h.Name, h.Address, h.Role = name, local, "worker"
		h.Grant = &host.Grant{ID: rand.Text(), Disk: disk, Made: r.clock(), Expires: r.clock().Add(time.Hour)}
		return nil
	})
}

// host reads mac from the store.
func (r *rig) get(t testing.TB, mac host.MAC) host.Host {
	t.Helper()
	h, err := r.store.Host(mac)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (r *rig) wantState(t testing.TB, mac host.MAC, want host.State) {
	t.Helper()
	if h := r.get(t, mac); h.State != want {
		t.Errorf("%s is %s (%+v), want %s", h.Label(), h.State, h.Failure, want)
	}
}

// post sends question to a step of a protocol.
func (r *rig) post(t testing.TB, path, session string, question, answer any) int {
	t.Helper()
	body, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	status, text := r.raw(t, path, session, "application/json", string(body))
	if answer != nil && status == http.StatusOK {
		if err := json.Unmarshal([]byte(text), answer); err != nil {
			t.Fatalf("POST %s answered %s: %v", path, text, err)
		}
	}
	return status
}

func (r *rig) raw(t testing.TB, path, session, kind, body string) (int, string) {
	t.Helper()
	q, err := http.NewRequest(http.MethodPost, r.secure.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", kind)
	if session != "" {
		q.Header.Set("Authorization", "Bearer "+session)
	}
	return do(t, q)
}

func do(t testing.TB, q *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// fetch gets a path of the plain server.
func (r *rig) fetch(t testing.TB, path string) (int, string) {
	t.Helper()
	q, err := http.NewRequest(http.MethodGet, r.plain.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, q)
}

func disks(serials ...string) []host.Disk {
	var all []host.Disk
	for i, s := range serials {
		all = append(all, host.Disk{Name: fmt.Sprint("vd", i), Serial: s, Size: 20 << 30})
	}
	return all
}

func hello(mac host.MAC, secret string, d ...host.Disk) installer.Hello {
	return installer.Hello{MAC: mac, Secret: secret, Version: "test", Inventory: host.Inventory{UUID: uuid1, Arch: "x86_64", Disks: d}}
}

const (
	pathHello    = boot.AgentPath + installer.HelloPath
	pathGrant    = boot.AgentPath + installer.GrantPath
	pathReport   = boot.AgentPath + installer.ReportPath
	pathFinished = boot.AgentPath + installer.FinishedPath
	pathFailed   = boot.AgentPath + installer.FailedPath
	pathEnrol    = boot.EnrolPath + installer.EnrolPath
	pathStatus   = boot.EnrolPath + installer.StatusPath
)

// greet says hello and expects to be told to install.
func (r *rig) greet(t testing.TB, mac host.MAC, secret string) installer.Welcome {
	t.Helper()
	var w installer.Welcome
	if status := r.post(t, pathHello, "", hello(mac, secret, disks("S1")...), &w); status != 200 || w.Action != installer.ActionInstall {
		t.Fatalf("hello: status %d, %+v, want to install", status, w)
	}
	return w
}

// take greets and takes the grant.
func (r *rig) take(t testing.TB, mac host.MAC, secret string) (session string, plan installer.Plan) {
	t.Helper()
	w := r.greet(t, mac, secret)
	if status := r.post(t, pathGrant, w.Session, installer.TakeGrant{Secret: secret, UUID: uuid1, Disk: "S1"}, &plan); status != 200 {
		t.Fatalf("grant: status %d, want 200", status)
	}
	return w.Session, plan
}

// events returns the causes of the events of mac that have the kind.
func (r *rig) events(t testing.TB, mac host.MAC, kind host.Kind) []string {
	t.Helper()
	all, err := r.store.Events(mac, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range all {
		if e.Kind == kind {
			texts = append(texts, e.Cause+e.Line)
		}
	}
	return texts
}
