package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"provision.internal/installer"
	"provision.internal/lab"
	"provision.internal/web"
)

func query(m lab.Machine) web.Query { return web.Query{Host: m.MAC.String()} }

// installedDisk is a copy of the root file system on a machine's disk.
type installedDisk struct {
	t    *testing.T
	file string
}

// rootLine finds the root in sfdisk's dump: the last Linux partition.
var rootLine = regexp.MustCompile(`start=\s*(\d+), size=\s*(\d+),.*type=(?i:0FC63DAF-8483-4772-8E79-3D69D8477DE4)`)

// openDisk copies the root of a machine that is off.
func (r *rig) openDisk(t *testing.T, m lab.Machine) installedDisk {
	t.Helper()
	return r.openPartition(t, m, 1, rootLine)
}

// openPartition copies the last partition on disk n of a machine that is off whose
// line in sfdisk's dump matches, and repairs the copy as the machine would at its
// next boot: its power was taken away.
func (r *rig) openPartition(t *testing.T, m lab.Machine, n int, line *regexp.Regexp) installedDisk {
	t.Helper()
	disk := r.DiskFileOf(m.Name, n)
	out, err := exec.Command("sfdisk", "--dump", disk).Output()
	if err != nil {
		t.Fatalf("read the partitions of %s: %v", m.Name, err)
	}
	found := line.FindAllStringSubmatch(string(out), -1)
	if len(found) == 0 {
		t.Fatalf("%s has no such partition:\n%s", m.Name, out)
	}
	const mib = 2048 // sectors; partitions begin and end at whole MiB, but for the last one's end
	last := found[len(found)-1]
	sector, err := strconv.ParseInt(last[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.ParseInt(last[2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	d := installedDisk{t, filepath.Join(t.TempDir(), "partition.img")}
	d.run("dd", "if="+disk, "of="+d.file, "bs=1M", fmt.Sprintf("skip=%d", sector/mib), fmt.Sprintf("count=%d", (size+mib-1)/mib), "conv=sparse", "status=none")
	d.run("e2fsck", "-p", d.file)
	return d
}

// run runs a program; e2fsck says with 1 that it has repaired something.
func (d installedDisk) run(name string, args ...string) {
	d.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && name == "e2fsck" && exit.ExitCode() == 1 {
		return
	}
	if err != nil {
		d.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

func (d installedDisk) debugfs(request string) string {
	d.t.Helper()
	out, err := exec.Command("debugfs", "-R", request, d.file).CombinedOutput()
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
