package daemon

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/images"
	"provision.internal/images/imagestest"
	"provision.internal/installer"
	"provision.internal/store"
	"provision.internal/web"
	"provision.internal/xbps/bundle"
	"provision.internal/xbps/mirror"
)

// branch is what a daemon has of packages: a mirror, and what uses it.
type branch struct {
	cfg     Config
	store   *store.Store
	mirror  *mirror.Mirror
	kits    *kits
	bundles *bundles
	plans   *plans
}

// newBranch opens a site that takes its packages from upstream, or none.
func newBranch(t *testing.T, v *imagestest.Void, upstream string) *branch {
	t.Helper()
	cfg, err := parse(t, withImages(t, strings.Join([]string{
		"upstream: \"" + upstream + "\"", "release: " + v.Release, "release_key: " + v.ReleaseKey, "keys: " + v.Keys,
	}, ", ")))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Server.State = t.TempDir()
	cfg.File = filepath.Join(t.TempDir(), "provision.yaml")
	if err := os.WriteFile(cfg.File, []byte("server: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := makeState(cfg.Server.State); err != nil {
		t.Fatal(err)
	}
	b := &branch{cfg: cfg, store: openStore(t)}
	if b.mirror, err = openMirror(cfg, b.store, testLog(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.mirror.Close(); err != nil {
			t.Error(err)
		}
	})
	files, err := images.Open(filepath.Join(cfg.Server.State, "images"))
	if err != nil {
		t.Fatal(err)
	}
	b.kits = &kits{cfg: cfg, store: files, log: testLog(t)}
	b.kits.connect(b.mirror)
	workshop := func() *Workshop {
		w := b.kits.workshop()
		w.agent = func(string) ([]byte, error) { return []byte("agent"), nil }
		return w
	}
	b.bundles = &bundles{cfg: cfg, mirror: b.mirror, hosts: b.store.Hosts, workshop: workshop, imported: b.kits.hurry}
	b.plans = &plans{cfg: cfg, mirror: b.mirror}
	return b
}

// plan is that of a machine with one disk.
func (b *branch) plan(t *testing.T, h host.Host) (installer.Plan, error) {
	t.Helper()
	disk := host.Disk{Serial: "S1", Size: 100 << 30}
	h.Name, h.Role = "node1", "worker"
	h.Inventory = &host.Inventory{Arch: "x86_64", UEFI: true, Disks: []host.Disk{disk}}
	return b.plans.plan(h, []host.Disk{disk})
}

// A site without network installs from what another has exported: the image is
// made, and every package of the plan is there.
func TestBundleCarriesASite(t *testing.T) {
	v := imagestest.NewVoid(t, "x86_64")
	here := newBranch(t, v, v.URL)
	var steps []web.Step
	s, err := here.bundles.Freeze(t.Context(), "golden", func(s web.Step) { steps = append(steps, s) })
	if err != nil {
		t.Fatal(err)
	}
	last := steps[len(steps)-1]
	if s.Name != "golden" || len(s.Repositories) != 2 || last.Done != last.Of || last.Bytes != last.Size || last.Of != 9 {
		t.Errorf("froze %+v, the last step is %+v", s, last)
	}
	if _, err := here.bundles.Freeze(t.Context(), "golden", func(web.Step) {}); !isCode(err, web.CodeConflict) {
		t.Errorf("froze it twice: %v", err)
	}
	v.Down(true)
	e, err := here.bundles.Export(t.Context(), "golden")
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := e.Write(&file); err != nil || int64(file.Len()) != e.Size || !e.KeyMade {
		t.Errorf("exported %d bytes, said %d, key made %t, %v", file.Len(), e.Size, e.KeyMade, err)
	}
	if again, err := here.bundles.Export(t.Context(), "golden"); err != nil || again.KeyMade || again.Key != e.Key {
		t.Errorf("a second export: key %s, made %t, %v", again.Key, again.KeyMade, err)
	}

	there := newBranch(t, v, NoUpstream)
	if _, err := there.plan(t, host.Host{}); !errors.Is(err, mirror.ErrNone) {
		t.Errorf("a plan of nothing: %v", err)
	}
	other := bundle.FormatKey(make(ed25519.PublicKey, ed25519.PublicKeySize))
	for _, c := range []struct {
		key   string
		trust bool
		want  web.Code
		says  string
	}{
		{"", false, web.CodeDenied, "repeat with --key " + e.Key},
		{other, false, web.CodeDenied, "not the one that --key names"},
		{other, true, web.CodeDenied, "not the one that --key names"},
		{"nonsense", true, "", "is no key"},
	} {
		_, err := there.bundles.Import(t.Context(), bytes.NewReader(file.Bytes()), c.key, c.trust)
		if err == nil || c.want != "" && !isCode(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("import with the key %q, trust %t: %v; want %s with %q", c.key, c.trust, err, c.want, c.says)
		}
	}
	in, err := there.bundles.Import(t.Context(), bytes.NewReader(file.Bytes()), e.Key, false)
	if err != nil {
		t.Fatal(err)
	}
	if in.Snapshot != "golden" || in.By != "provision" || in.Key != e.Key || in.Packages != e.Packages {
		t.Errorf("imported %+v", in)
	}
	if b, err := os.ReadFile(filepath.Join(in.Files, "provision.yaml")); err != nil || string(b) != "server: {}\n" {
		t.Errorf("its configuration is %q, %v", b, err)
	}
	if _, err := there.bundles.workshop().Build(t.Context(), "x86_64"); err != nil {
		t.Errorf("the image cannot be made of it: %v", err)
	}
	there.installs(t, "golden")
}

// installs fails the test unless a plan is of the snapshot, and its packages are served.
func (b *branch) installs(t *testing.T, snapshot string) {
	t.Helper()
	plan, err := b.plan(t, host.Host{})
	if err != nil {
		t.Fatal(err)
	}
	base := "http://10.77.0.1/void/@" + snapshot + "/"
	if want := []string{base + "current", base + "current/nonfree"}; plan.Snapshot != snapshot || !slices.Equal(plan.Repository, want) {
		t.Errorf("the plan is of the snapshot %q with the repositories %q, want %q", plan.Snapshot, plan.Repository, want)
	}
	served := httptest.NewServer(b.mirror)
	defer served.Close()
	for _, name := range []string{
		"current/x86_64-repodata", "current/base-system-0.114_1.x86_64.xbps", "current/libc-2.41_1.x86_64.xbps.sig2",
		"current/grub-x86_64-efi-2.12_1.x86_64.xbps", "current/nonfree/nomad-1.9.3_1.x86_64.xbps", "current/nonfree/cni-plugins-1.5_1.x86_64.xbps",
	} {
		res, err := http.Get(served.URL + "/@" + snapshot + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		if res.Body.Close(); res.StatusCode != http.StatusOK || n == 0 || err != nil {
			t.Errorf("%s: %s, %d bytes, %v", name, res.Status, n, err)
		}
	}
}

func isCode(err error, code web.Code) bool {
	var coded *web.Error
	return errors.As(err, &coded) && coded.Code == code
}

func TestFreezeWithoutWhatRolesNeedLeavesNothing(t *testing.T) {
	v := imagestest.NewVoid(t, "x86_64")
	b := newBranch(t, v, v.URL)
	role := b.cfg.Roles["worker"]
	role.Packages = []string{"nothing"}
	b.cfg.Roles["worker"] = role
	_, err := b.bundles.Freeze(t.Context(), "golden", func(web.Step) {})
	if err == nil || !strings.Contains(err.Error(), "role worker on x86_64: nothing: not found in repository pool") {
		t.Errorf("error %v", err)
	}
	if all := b.bundles.Snapshots(); len(all) != 0 {
		t.Errorf("it left %+v", all)
	}
	if _, err := b.bundles.Complete(t.Context(), "golden", func(web.Step) {}); !isCode(err, web.CodeUnknown) {
		t.Errorf("completed nothing: %v", err)
	}
}

// An install is of the newest snapshot, of the one that its grant names, or of the one that it began
// with; and what a host needs is not pruned.
func TestPlanIsOfOneSnapshot(t *testing.T) {
	v := imagestest.NewVoid(t, "x86_64")
	b := newBranch(t, v, v.URL)
	if _, err := b.mirror.Freeze(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	newest, err := b.mirror.Freeze(t.Context(), "newer")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		h    host.Host
		want string
	}{
		{host.Host{State: host.Admitted}, newest.Name},
		{host.Host{State: host.Admitted, Snapshot: "old", Grant: &host.Grant{}}, newest.Name},
		{host.Host{State: host.Admitted, Grant: &host.Grant{Snapshot: "old"}}, "old"},
		{host.Host{State: host.Installing, Snapshot: "old", Grant: &host.Grant{}}, "old"},
	} {
		if plan, err := b.plan(t, c.h); err != nil || plan.Snapshot != c.want {
			t.Errorf("plan of a host %s from %q, grant %+v: snapshot %q, %v; want %q", c.h.State, c.h.Snapshot, c.h.Grant, plan.Snapshot, err, c.want)
		}
	}
	if _, err := b.plan(t, host.Host{State: host.Admitted, Grant: &host.Grant{Snapshot: "gone"}}); !errors.Is(err, mirror.ErrUnknown) {
		t.Errorf("plan of a snapshot that is gone: %v", err)
	}
	_, err = b.store.Change(mac1, "test", "", func(h *host.Host) (err error) {
		h.Name, h.Snapshot = "node1", "old"
		*h, err = h.Advance(host.Seen, time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.bundles.Thaw("old"); !isCode(err, web.CodeState) || !strings.Contains(err.Error(), "hosts are installed from old") {
		t.Errorf("removed what a host needs: %v", err)
	}
	if all := b.bundles.Snapshots(); len(all) != 2 || !slices.Equal(all[1].Hosts, []string{"node1"}) {
		t.Errorf("snapshots %+v", all)
	}
}

func TestMirrorInTheStatus(t *testing.T) {
	now := time.Now()
	for want, m := range map[string]mirror.Status{
		"no upstream|2 snapshots, 0 of 50 MiB":                                       {Snapshots: 2, Limit: 50 << 20},
		"https://x|answers, 0 snapshots, 10 of 50 MiB":                               {Upstream: "https://x", Asked: true, Used: 10 << 20, Limit: 50 << 20},
		"https://x|does not answer since 1m0s: gone away, 0 snapshots, 10 of 50 MiB": {Upstream: "https://x", Asked: true, Err: errors.New("gone away"), Since: now.Add(-time.Minute), Used: 10 << 20, Limit: 50 << 20},
		"https://x|0 snapshots, 0 of 50 MiB":                                         {Upstream: "https://x", Limit: 50 << 20},
	} {
		st := web.Status{Counters: map[string]uint64{}}
		m.Counters = map[string]uint64{"fetched": 3}
		addMirror(&st, m, now)
		if got := st.Parts[0].Listen + "|" + st.Parts[0].Note; got != want || st.Counters["packages fetched"] != 3 {
			t.Errorf("%q, counters %v; want %q", got, st.Counters, want)
		}
	}
}
