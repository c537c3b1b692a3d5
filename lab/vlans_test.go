package lab

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"testing"

	"provision.internal/router/routertest"
)

// What the router is told decides which devices may speak with each other.
func TestFilteringFollowsTheRouter(t *testing.T) {
	r := routertest.New(routertest.Config{Ethernets: 5})
	defer r.Close()
	cables := map[string]string{"tap-a": "ether3", "tap-b": "ether4", "tap-c": "ether5", "tap-d": "ether1"}
	do := func(command string, args ...string) {
		t.Helper()
		if _, err := r.Do(command, args...); err != nil {
			t.Fatalf("%s %q: %v", command, args, err)
		}
	}
	f := readFiltering(r.Rows, cables)
	if want := []string{"tap-a", "tap-b", "tap-c", "tap-d"}; f.on || !slices.Equal(f.out, want) {
		t.Errorf("of a reset router: %+v, want all of %q out", f, want)
	}
	do("/interface/bridge/add", "=name=br0", "=vlan-filtering=yes")
	for port, pvid := range map[string]string{"ether2": "1", "ether3": "10", "ether4": "20", "ether5": "20"} {
		do("/interface/bridge/port/add", "=bridge=br0", "=interface="+port, "=pvid="+pvid)
	}
	do("/interface/bridge/vlan/add", "=bridge=br0", "=vlan-ids=10", "=tagged=br0,ether2")
	do("/interface/bridge/vlan/add", "=bridge=br0", "=vlan-ids=20", "=tagged=br0")
	f = readFiltering(r.Rows, cables)
	if !f.on || !maps.Equal(f.vlan, map[string]int{"tap-a": 10, "tap-b": 20, "tap-c": 20}) || !slices.Equal(f.out, []string{"tap-d"}) {
		t.Errorf("filtering = %+v", f)
	}
	if !f.trunk[10] || f.trunk[20] {
		t.Errorf("VLANs of the trunk: %v, want 10 and not 20", f.trunk)
	}
	for command, out := range map[string][]string{"disable": {"tap-a", "tap-d"}, "enable": {"tap-d"}} {
		do("/interface/ethernet/"+command, "=numbers=ether3")
		if f = readFiltering(r.Rows, cables); !slices.Equal(f.out, out) {
			t.Errorf("after %s of ether3: %+v, want %q out", command, f, out)
		}
	}
}

// The kernel enforces it: frames cross within a VLAN, and reach the appliance
// where its trunk is in that VLAN.
func TestFramesCrossWithinAVLAN(t *testing.T) {
	r := testRack(t)
	ctx := t.Context()
	if err := r.Up(ctx); err != nil {
		t.Fatal(err)
	}
	inside := map[string]func(...string) []string{}
	for name, address := range map[string]string{"left": "10.77.0.11", "right": "10.77.0.12"} {
		in, err := r.AddNeighbour(ctx, name, address)
		if err != nil {
			t.Fatal(err)
		}
		inside[name] = in
	}
	for _, c := range []struct {
		what                string
		f                   filtering
		across, left, right bool // whether left reaches right, and either the appliance
	}{
		{"no filtering", filtering{vlan: map[string]int{"left": 10, "right": 20}}, true, true, true},
		{"two VLANs", filtering{on: true, vlan: map[string]int{"left": 10, "right": 20}, trunk: map[int]bool{10: true}}, false, true, false},
		{"one VLAN", filtering{on: true, vlan: map[string]int{"left": 20, "right": 20}, trunk: map[int]bool{20: true}}, true, true, true},
		{"right is off", filtering{on: true, vlan: map[string]int{"left": 20}, out: []string{"right"}, trunk: map[int]bool{20: true}}, false, true, false},
	} {
		if err := r.enforce(ctx, c.f.rules()); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		for _, p := range []struct {
			from, to string
			want     bool
		}{{"left", "10.77.0.12", c.across}, {"left", Address, c.left}, {"right", Address, c.right}} {
			if got := pings(ctx, t, inside[p.from], p.to); got != p.want {
				t.Errorf("%s: %s reaches %s: %v, want %v", c.what, p.from, p.to, got, p.want)
			}
		}
	}
}

func pings(ctx context.Context, t *testing.T, inside func(...string) []string, address string) bool {
	t.Helper()
	if _, err := exec.LookPath("ping"); err != nil {
		t.Skip("needs ping: make deps installs it")
	}
	argv := inside("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", address)
	err := exec.CommandContext(ctx, argv[0], argv[1:]...).Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return err == nil
}

func TestCables(t *testing.T) {
	r := &Rack{Name: "cables", Dir: t.TempDir()}
	for i, device := range []string{"tap-a", "tap-b", "tap-a"} {
		port, err := r.plug(device)
		if want := []string{"ether3", "ether4", "ether3"}[i]; err != nil || port != want {
			t.Errorf("plug(%s) = %q, %v; want %s", device, port, err, want)
		}
	}
	if err := r.Replug("a", "ether4"); err != nil || r.Port("a") != "ether4" || r.Port("b") != "ether3" {
		t.Errorf("after Replug (%v): a on %q, b on %q", err, r.Port("a"), r.Port("b"))
	}
	for n := range hostPorts - 2 {
		if _, err := r.plug("tap-x" + string(rune('0'+n))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.plug("tap-late"); err == nil {
		t.Error("a router with eight ports for hosts took nine machines")
	}
	if err := os.Remove(r.path("cables", "tap-a")); err != nil || r.Port("a") != "" {
		t.Errorf("an unplugged machine is on %q (%v)", r.Port("a"), err)
	}
}
