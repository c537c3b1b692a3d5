package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/lab"
)

const snapshot = "golden"

// TestIsland takes Void to a site without network: one appliance freezes what
// an upstream has that breaks off all the time, and exports it; another one, which
// has nothing but the exported file, installs a machine from it.
func TestIsland(t *testing.T) {
	const folder = "  repository: ../build/lab/void\n"
	r := newRig(t, folder, "  upstream: "+lab.UpstreamURL+"\n")
	ctx := t.Context()
	if err := r.StartUpstream(ctx, r.programs, r.inputs); err != nil {
		t.Fatal(err)
	}
	const kernel, cuts = "linux[0-9]*.xbps", 5
	if err := r.FailUpstream(ctx, lab.Fault{Path: kernel, Cut: 1 << 20, Times: cuts}); err != nil {
		t.Fatal(err)
	}
	r.startAppliance(t)
	r.provision(t, "images", "freeze", snapshot)
	requests, err := r.UpstreamRequests(ctx)
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for file, n := range requests {
		if filepath.Ext(file) != ".xbps" {
			continue
		}
		packages++
		want := 1
		if broken, err := filepath.Match(kernel, filepath.Base(file)); err != nil {
			t.Fatal(err)
		} else if broken {
			want += cuts
		}
		if n != want {
			t.Errorf("%s was asked for %d times, want %d", file, n, want)
		}
	}
	if packages == 0 {
		t.Error("no package was asked for")
	}
	if err := r.Stop(ctx, lab.ProcessUpstream); err != nil {
		t.Fatal(err)
	}
	var exported struct{ File, Key string }
	out := r.provision(t, "images", "export", filepath.Join(r.Dir, "site.bundle"), "--snapshot", snapshot, "--json")
	if err := json.Unmarshal([]byte(out), &exported); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(ctx, lab.ProcessAppliance); err != nil {
		t.Fatal(err)
	}

	r.startIsland(t)
	r.provision(t, "images", "import", exported.File, "--key", exported.Key)
	m := lab.Machine{Name: "node1", Firmware: lab.BIOS, Disk: lab.Virtio}
	if j := r.enroll(t, m); j == nil {
		return
	}
	h := r.await(t, r.machine(t, m.Name), "known", func(host.Host) bool { return true })
	if h.Snapshot != snapshot {
		t.Errorf("%s was installed from the snapshot %q, want %q", h.Name, h.Snapshot, snapshot)
	}
}

// startIsland starts an appliance with a state of its own, no upstream, no folder
// of packages and no package keys.
func (r *rig) startIsland(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	state := filepath.Join(r.Dir, "island")
	r.rewrite(t,
		"  upstream: "+lab.UpstreamURL+"\n", "  upstream: none\n",
		"  keys: ../build/lab/keys\n", "",
		"  rootfs: ../build/lab/rootfs.tar.xz\n", "  rootfs: "+filepath.Join(state, "imports", snapshot, filepath.Base(r.inputs.Rootfs))+"\n")
	env := []string{"PROVISION_SERVER_STATE=" + state, "PROVISION_SERVER_SOCKET=" + r.Socket()}
	argv := r.Inside(r.programs.Provision(), "serve", "--config", r.config)
	if err := r.Start(lab.ProcessAppliance, r.Dir, env, argv...); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		if _, err := r.Client().Status(ctx); err == nil {
			return
		} else if !r.Running(lab.ProcessAppliance) || time.Now().After(end) {
			lines, _ := lab.LastLines(r.LogFile(lab.ProcessAppliance), 10) // without them the error still helps
			t.Fatalf("the appliance without network does not answer: %v\n%s", err, strings.Join(lines, "\n"))
		}
	}
}
