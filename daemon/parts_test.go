package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/httpboot"
	"provision.internal/images"
	"provision.internal/installer"
	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
	"provision.internal/store"
)

var mac1 = host.MAC{0x52, 0x54, 0, 0, 0, 1}

func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func openStore(t testing.TB) *store.Store {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "store"), Default().Deadlines.Map())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// Packets wait for these calls, so a burst of notices must not wait for a disk,
// and a machine that the configuration names has its name before it is admitted.
func TestMachinesDoNotWaitForTheDisk(t *testing.T) {
	st := openStore(t)
	m := newMachines(st, []Host{{Name: "node1", MAC: mac1}}, testLog(t))
	for range cap(m.notices) + 5 {
		m.Notice(mac1, "an unknown architecture")
	}
	if got := m.dropped.Load(); got != 5 {
		t.Errorf("%d notices dropped of 5 too many", got)
	}
	changed, stop := st.Watch()
	defer stop()
	laptop := host.MAC{2, 0, 0, 0, 0, 0x99}
	m.Saw(boot.Client{MAC: laptop}, netip.MustParseAddr("10.77.0.101"))
	m.Saw(boot.Client{MAC: mac1, Platform: boot.UEFIx64, PXE: true}, netip.MustParseAddr("10.77.0.100"))
	<-changed
	h, err := m.Host(mac1)
	if err != nil || h.Name != "node1" || h.State != host.Seen || h.Platform != string(boot.UEFIx64) {
		t.Errorf("Host = %+v, %v; want the machine seen, called node1", h, err)
	}
	if _, err := st.Host(laptop); !errors.Is(err, host.ErrUnknown) {
		t.Errorf("a computer that asks for no boot file became a host: %v", err)
	}
	m.Saw(boot.Client{MAC: mac1}, netip.MustParseAddr("10.77.0.102")) // its installed system
	<-changed
	if h, err := st.Host(mac1); err != nil || h.Address != netip.MustParseAddr("10.77.0.102") {
		t.Errorf("a known host's address is %s (%v), want the one of its system", h.Address, err)
	}
	if h, err := st.Host(mac1); err != nil || h.Name != "" {
		t.Errorf("the store calls it %q (%v); only an admission gives a name", h.Name, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.run(ctx) }()
	for {
		events, err := st.Events(mac1, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(events, func(e host.Event) bool { return e.Kind == host.KindNotice && e.Actor == "dhcp" }) {
			break
		}
		<-changed
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run = %v, want nil after its context ended", err)
	}
}

func admitted(disks ...host.Disk) host.Host {
	return host.Host{
		MAC: mac1, Name: "node1", Role: "worker", State: host.Admitted,
		Grant:     &host.Grant{ID: "g", Expires: time.Now().Add(time.Hour)},
		Inventory: &host.Inventory{Arch: "x86_64", UEFI: true, Disks: disks},
	}
}

func testConfig(t *testing.T, text string) Config {
	t.Helper()
	cfg, err := parse(t, text)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Images.Keys = t.TempDir()
	return cfg
}

// The disk is the role's choice, not the agent's.
func TestPlanRefusesAnotherDisk(t *testing.T) {
	small, large := host.Disk{Name: "sda", Serial: "SMALL", Size: 10e9}, host.Disk{Name: "sdb", Serial: "LARGE", Size: 10e12}
	p := &plans{cfg: testConfig(t, strings.Replace(minimal, "worker: {}", "worker: {disk: smallest}", 1))}
	h := admitted(small, large)
	if d, err := p.targets(h); err != nil || host.DiskIDs(d) != "SMALL" {
		t.Fatalf("target = %+v, %v; want the smallest disk", d, err)
	}
	plan, err := p.plan(h, []host.Disk{small})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Disks[0].Serial != "SMALL" || !slices.Equal(plan.Repository, []string{"http://10.77.0.1/void/"}) {
		t.Errorf("plan is for disk %q from %v, want SMALL from the appliance", plan.Disks[0].Serial, plan.Repository)
	}
	if _, err := p.plan(h, []host.Disk{large}); !errors.Is(err, installer.ErrPlan) {
		t.Errorf("plan for the other disk: %v, want ErrPlan", err)
	}
	h.Role = "gone"
	if _, err := p.plan(h, []host.Disk{small}); err == nil || !strings.Contains(err.Error(), `"gone"`) {
		t.Errorf("plan for a role that was removed: %v, want it named", err)
	}
	h = admitted(small)
	h.Inventory = nil
	if _, err := p.targets(h); !errors.Is(err, installer.ErrPlan) {
		t.Errorf("target without an inventory: %v, want ErrPlan", err)
	}
}

func TestFilesCarryTheRoleIntoNomad(t *testing.T) {
	sim := nomadtest.NewServer()
	t.Cleanup(sim.Close)
	cfg := testConfig(t, strings.Replace(minimal, "worker: {}",
		"worker: {nomad: {pool: builders, datacenter: EDGE, meta: {rack: a1}, config: 'plugin \"docker\" {}'}}", 1))
	cfg.Nomad.Address = sim.URL
	cluster, err := nomad.New(cfg.Nomad, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &plans{cfg: cfg, cluster: cluster}
	m, err := p.Join(t.Context(), admitted(), installer.StageMember, true)
	if err != nil {
		t.Fatal(err)
	}
	files := m.Files
	contents := map[string]string{}
	for _, f := range files {
		contents[f.Path] = f.Content
		if f.Mode == 0 || f.Mode&0o077&^0o044 != 0 {
			t.Errorf("%s has mode %#o", f.Path, f.Mode)
		}
	}
	client := strings.Join(strings.Fields(contents["/etc/nomad.d/client.hcl"]), " ")
	for _, want := range []string{`name = "node1"`, `datacenter = "EDGE"`, `node_pool = "builders"`, `rack = "a1"`, `"10.77.0.1:4647"`} {
		if !strings.Contains(client, want) {
			t.Errorf("client.hcl lacks %s: %s", want, client)
		}
	}
	if got := contents["/etc/nomad.d/role.hcl"]; got != `plugin "docker" {}` {
		t.Errorf("role.hcl = %q, want the role's own configuration", got)
	}
	if got := cfg.target(admitted()).Meta; got["rack"] != "a1" {
		t.Errorf("meta of its configuration = %v, want the role's", got)
	}
}

// The cluster's authority and the appliance's are different ones: neither may
// take the other's place on an installed host, nor may any file be written twice.
func TestFirstBootFilesAreApart(t *testing.T) {
	sim := nomadtest.NewServer()
	t.Cleanup(sim.Close)
	cfg := testConfig(t, strings.Replace(minimal, "worker: {}", "worker: {nomad: {config: 'plugin \"docker\" {}'}}", 1))
	dir := t.TempDir()
	if _, err := httpboot.LoadAuthority(dir, nil, nil, time.Now); err != nil { // any authority will do for the cluster's
		t.Fatal(err)
	}
	cfg.Nomad.Address, cfg.Nomad.CA = sim.URL, filepath.Join(dir, "ca.pem")
	cluster, err := nomad.New(cfg.Nomad, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &plans{cfg: cfg, cluster: cluster}
	m, err := p.Join(t.Context(), admitted(), installer.StageQuarantine, true)
	if err != nil {
		t.Fatal(err)
	}
	files := m.Files
	seen := map[string]bool{installer.HostKey: true, installer.HostCertificate: true, installer.HostCA: true}
	for _, f := range files {
		if seen[f.Path] {
			t.Errorf("%s is written twice at the first boot", f.Path)
		}
		seen[f.Path] = true
	}
}

func TestKitWaitsFailsAndBoots(t *testing.T) {
	k := &kits{cfg: testConfig(t, strings.Replace(minimal, "images: {", "images: {cmdline: console=ttyS0, ", 1)), ca: []byte("CA"), log: testLog(t)}
	if _, err := k.kit(boot.UEFIx64); !errors.Is(err, httpboot.ErrAssembling) {
		t.Errorf("before the assembly: %v, want ErrAssembling: the machine asks again", err)
	}
	if got := k.list(); len(got) != 1 || got[0].State != "assembling" {
		t.Errorf("list = %+v, want one image being assembled", got)
	}
	k.kits = map[string]kit{"x86_64": {err: errors.New("no kernel")}}
	if _, err := k.kit(boot.UEFIx64); err == nil || errors.Is(err, httpboot.ErrAssembling) {
		t.Errorf("after a failure: %v, want an error that sends the machine to its disk", err)
	}
	if got := k.list(); got[0].State != "failed" || got[0].Error != "no kernel" {
		t.Errorf("list = %+v, want the failure", got)
	}
	k.hurry()
	if _, err := k.kit(boot.UEFIx64); !errors.Is(err, httpboot.ErrAssembling) {
		t.Errorf("when what was missing has come: %v, want ErrAssembling", err)
	}
	k.kits["x86_64"] = kit{image: &images.Image{Kernel: images.Blob{SHA256: "aa"}, Initrd: images.Blob{SHA256: "bb"}, Release: "6.1"}}
	if kit, err := k.kit(boot.BIOS); err != nil || kit != (httpboot.Kit{Kernel: "aa", Initrd: "bb", Cmdline: "console=ttyS0"}) {
		t.Errorf("kit = %+v, %v; want the assembled files", kit, err)
	}
	if _, err := k.kit(boot.UEFIarm64); err == nil {
		t.Error("an arm64 machine would boot a kernel for x86_64")
	}
	overlay, err := k.overlay(images.Blob{SHA256: "cc", Size: 7})
	if err != nil {
		t.Fatal(err)
	}
	var got installer.Overlay
	if err := json.Unmarshal(overlay["etc/provision/agent.json"], &got); err != nil {
		t.Fatal(err)
	}
	if got.URL != "https://10.77.0.1" || got.HTTP != "http://10.77.0.1" || got.Userland == nil ||
		got.Userland.URL != "http://10.77.0.1/image/cc/userland.tar.zst" || got.Userland.Size != 7 {
		t.Errorf("overlay = %+v, want the appliance's addresses and the userland", got)
	}
	if !bytes.Equal(overlay["etc/provision/ca.pem"], []byte("CA")) {
		t.Error("the overlay lacks the appliance's authority")
	}
}
