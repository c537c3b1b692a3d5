package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/host"
	"provision.internal/lab"
)

// The other carrier: machines boot a NETBOOT tarball, whose autoinstaller carries
// the agent.
func TestNetboot(t *testing.T) {
	base := filepath.Join("..", "build", "lab")
	tarball, err := filepath.Abs(filepath.Join(base, "void-x86_64-NETBOOT-00000000.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "\nimages:\n", "\nimages:\n  netboot: "+tarball+"\n")
	if made, err := lab.MakeNetboot(t.Context(), base, r.programs); err != nil || made != tarball {
		t.Fatalf("MakeNetboot = %s, %v; want %s", made, err, tarball)
	}
	r.startAppliance(t)
	j := r.enroll(t, lab.Machine{Name: "node1", Firmware: lab.UEFI, Disk: lab.NVMe})
	if j == nil {
		return
	}
	r.checkJourney(t, j)
	m := r.machine(t, "node1")
	if n := r.grants(t, m); n != 1 {
		t.Errorf("%d grants were taken, want 1", n)
	}
	if n := r.consoleCount(t, m, "autoinstaller: reading the configuration"); n != 1 {
		t.Errorf("the autoinstaller ran %d times, want once", n)
	}
	if n := r.consoleCount(t, m, "autoinstaller: partition_disk"); n != 0 {
		t.Error("the autoinstaller went on by itself")
	}
	var steps []string
	for _, e := range r.events(t, m) {
		if e.Kind == host.KindProgress {
			steps = append(steps, e.Cause)
		}
	}
	if all := strings.Join(steps, " "); !strings.Contains(all, "tools") || !strings.Contains(all, "packages") {
		t.Errorf("the agent told the steps %s", all)
	}
}
