package e2e

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"provision.internal/installer"
	"provision.internal/lab"
	"provision.internal/web"
)

func query(m lab.Machine) web.Query { return web.Query{Host: m.MAC.String()} }

// installedDisk looks into the root file system on a machine's disk, while it
// is off.
type installedDisk struct {
	t      *testing.T
	device string // as e2fsprogs takes it
}

// rootLine finds the root in sfdisk's dump: the last Linux partition.
var rootLine = regexp.MustCompile(`start=\s*(\d+),.*type=(?i:0FC63DAF-8483-4772-8E79-3D69D8477DE4|4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709)`)

func (r *rig) openDisk(t *testing.T, m lab.Machine) installedDisk {
	t.Helper()
	out, err := exec.Command("sfdisk", "--dump", r.DiskFile(m.Name)).Output()
	if err != nil {
		t.Fatalf("read the partitions of %s: %v", m.Name, err)
	}
	found := rootLine.FindAllStringSubmatch(string(out), -1)
	if len(found) == 0 {
		t.Fatalf("%s has no root partition:\n%s", m.Name, out)
	}
	sector, err := strconv.ParseInt(found[len(found)-1][1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return installedDisk{t, fmt.Sprintf("%s?offset=%d", r.DiskFile(m.Name), sector*512)}
}

func (d installedDisk) debugfs(request string) string {
	d.t.Helper()
	out, err := exec.Command("debugfs", "-R", request, d.device).CombinedOutput()
	if err != nil {
		d.t.Fatalf("debugfs %s: %v: %s", request, err, out)
	}
	return string(out)
}

func (d installedDisk) has(name string) bool {
	d.t.Helper()
	return !strings.Contains(d.debugfs("stat "+name), "File not found")
}

func (d installedDisk) read(name string) string {
	d.t.Helper()
	_, text, _ := strings.Cut(d.debugfs("cat "+name), "\n") // debugfs's own banner
	return text
}

// mode is the octal text of a file's permission bits.
func (d installedDisk) mode(name string) string {
	d.t.Helper()
	m := regexp.MustCompile(`Mode:\s+(\d+)`).FindStringSubmatch(d.debugfs("stat " + name))
	if m == nil {
		return ""
	}
	return m[1]
}

// checkInstalled looks at what the first boot must have left, and must not.
func (d installedDisk) checkInstalled(name string) {
	d.t.Helper()
	if got := strings.TrimSpace(d.read("/etc/hostname")); got != name {
		d.t.Errorf("the host name on the disk is %q, want %q", got, name)
	}
	for _, gone := range []string{installer.EnrolFile, installer.EnabledDir + "/" + installer.FirstBootService} {
		if d.has(gone) {
			d.t.Errorf("%s is still on the disk after the first boot", gone)
		}
	}
	for _, there := range []string{installer.HostCertificate, installer.EnabledDir + "/" + installer.NomadService} {
		if !d.has(there) {
			d.t.Errorf("%s is missing on the disk", there)
		}
	}
	if got := d.mode(installer.HostKey); got != "0600" {
		d.t.Errorf("the mode of %s is %q, want 0600", installer.HostKey, got)
	}
}
