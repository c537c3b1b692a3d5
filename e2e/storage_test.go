package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"provision.internal/host"
	"provision.internal/lab"
)

const passphrase = "open sesame"

// storageRoles are added to the roles of examples/lab.yaml.
const storageRoles = `roles:
  vault:
    cmdline: console=ttyS0 loglevel=4
    mirror: true
    luks: {passphrase_file: PASSPHRASE}
    swap: 128MiB
    boot: disk
    hardware: {memory: ">= 1GiB", disks: 2}
  giant:
    hardware: {memory: ">= 64GiB", cpus: ">= 2"}
  mixed:
    cmdline: console=ttyS0 loglevel=4
    disk: serial:LAB-mixed
    filesystem: btrfs
    root: 2GiB
    swap: 64MiB
    partitions:
      - {path: /var, filesystem: xfs}
      - {path: /srv/data, size: 128MiB, filesystem: ext4}
    timezone: Europe/Berlin
    files:
      - {path: /etc/motd, content: "the role's\n"}
    script: |
      findmnt -n -o FSTYPE / >/srv/data/root
      findmnt -n -o FSTYPE /var >/srv/data/var
      echo "$PROVISION_HOST" >/srv/data/host
  broken:
    cmdline: console=ttyS0 loglevel=4
    disk: serial:LAB-mixed
    script: |
      echo the script has seen enough
      exit 7
`

// TestStorage installs machines with other disks than one with ext4.
func TestStorage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(file, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "roles:\n", strings.ReplaceAll(storageRoles, "PASSPHRASE", file))
	r.inputs = r.inputs.WithStorage()
	r.startAppliance(t)
	var wg sync.WaitGroup
	var vault, mixed lab.Machine
	wg.Go(func() {
		t.Run("RAID1 and LUKS on UEFI, with 2 GiB of memory", func(t *testing.T) { vault = r.vault(t) })
	})
	wg.Go(func() {
		t.Run("BIOS on SATA with three file systems; the other disk is kept", func(t *testing.T) { mixed = r.mixed(t) })
	})
	wg.Wait()
	if t.Failed() {
		return
	}
	logins := map[string]int{}
	for _, m := range []lab.Machine{vault, mixed} {
		logins[m.Name] = r.consoleCount(t, m, m.Name+" login:")
	}
	t.Run("half of the mirror is dead", func(t *testing.T) {
		if err := r.PullDisk(vault.Name, 1); err != nil {
			t.Fatal(err)
		}
		r.powerOn(t, vault)
		r.unlock(t, vault, 2)
		r.awaitConsole(t, vault, vault.Name+" login:", logins[vault.Name]+1)
		r.powerOff(t, vault)
	})
	t.Run("the appliance is gone for ever", func(t *testing.T) {
		if err := r.Kill(t.Context(), lab.ProcessAppliance); err != nil {
			t.Fatal(err)
		}
		r.powerOn(t, mixed)
		r.awaitConsole(t, mixed, mixed.Name+" login:", logins[mixed.Name]+1)
	})
}

// admitAs switches a new machine on and admits it with a role.
func (r *rig) admitAs(t *testing.T, m lab.Machine, role string) lab.Machine {
	t.Helper()
	m, err := r.Add(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	r.admitAdded(t, m, role)
	return m
}

func (r *rig) admitAdded(t *testing.T, m lab.Machine, role string) {
	t.Helper()
	r.powerOn(t, m)
	if _, err := r.AwaitSeen(t.Context(), m.MAC); err != nil {
		t.Fatal(err)
	}
	r.provision(t, "enroll", m.Name, "--mac", m.MAC.String(), "--role", role, "--no-wait")
}

// vault installs an encrypted mirror, after its machine was held because the role
// wanted more.
func (r *rig) vault(t *testing.T) lab.Machine {
	m := r.admitAs(t, lab.Machine{Name: "vault", Firmware: lab.UEFI, Disk: lab.NVMe, More: []lab.DiskKind{lab.Virtio}, Size: 3 << 30, Memory: 2048}, "giant")
	h := r.await(t, m, "held", func(h host.Host) bool { return h.Progress.Step == "waits" })
	if want := "of memory, wanted >= 64GiB"; h.State != host.Admitted || !strings.Contains(h.Progress.Text, want) || strings.Contains(h.Progress.Text, "processors") {
		t.Errorf("it is %s and %q, want admitted and a difference with %q only", h.State, h.Progress.Text, want)
	}
	if shown := r.provision(t, "host", m.Name); !strings.Contains(shown, h.Progress.Text) {
		t.Errorf("provision host does not show why it waits:\n%s", shown)
	}
	for n := 1; n <= 2; n++ {
		if !blank(t, r.DiskFileOf(m.Name, n)) {
			t.Errorf("disk %d was written", n)
		}
	}
	r.provision(t, "reinstall", m.Name, "--role", "vault", "--yes", "--no-wait")
	r.unlock(t, m, 1)
	r.awaitState(t, m, host.Ready)
	// The rack's firmware sorts its entries anew at each start, so that their order
	// shows in the log only.
	log := r.provision(t, "logs", m.Name)
	order, next := bootOrder.FindStringSubmatch(log), bootNext.FindStringSubmatch(log)
	if order == nil || next == nil || order[1] != next[1] {
		t.Errorf("the order %q does not begin with the disk %q", order, next)
	}
	if n := r.grants(t, m); n != 1 {
		t.Errorf("%d grants were taken, want 1", n)
	}
	r.powerOff(t, m)
	for n := 1; n <= 2; n++ {
		for _, clear := range []string{passphrase, "\n127.0.1.1\t" + m.Name} {
			if holds(t, r.DiskFileOf(m.Name, n), clear) {
				t.Errorf("disk %d holds %q in the clear", n, clear)
			}
		}
	}
	return m
}

// unlock types the passphrase when the machine asks for it for the nth time. QEMU
// drops what the machine has not read when the line is closed: it stays open until
// the system starts.
func (r *rig) unlock(t *testing.T, m lab.Machine, times int) {
	t.Helper()
	const started = "Welcome to Void"
	starts := r.consoleCount(t, m, started)
	r.awaitConsole(t, m, "Enter passphrase for", times)
	in, keyboard := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- r.Console(t.Context(), m.Name, in, io.Discard) }()
	if _, err := io.WriteString(keyboard, passphrase+"\n"); err != nil {
		t.Fatal(err)
	}
	r.awaitConsole(t, m, started, starts+1)
	keyboard.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// mixed installs beside a disk that is not its own, after a script that fails.
func (r *rig) mixed(t *testing.T) lab.Machine {
	m, err := r.Add(t.Context(), lab.Machine{Name: "mixed", Firmware: lab.BIOS, Disk: lab.SATA, More: []lab.DiskKind{lab.SATA}})
	if err != nil {
		t.Fatal(err)
	}
	// A BIOS boots its first disk only: the one to be kept is the other.
	data := r.DiskFileOf(m.Name, 2)
	if err := os.WriteFile(data, []byte(strings.Repeat("somebody's data ", 1<<16)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(data, m.Size); err != nil {
		t.Fatal(err)
	}
	before := hashOf(t, data)

	r.admitAdded(t, m, "broken")
	h := r.await(t, m, "failed", func(h host.Host) bool { return h.State == host.Failed || h.State == host.Ready })
	if h.State != host.Failed || !strings.Contains(h.Failure.Reason, "step script") || !strings.Contains(h.Failure.Reason, "the script has seen enough") {
		t.Fatalf("it is %s (%+v), want the script's failure with what it said last", h.State, h.Failure)
	}
	if log := r.provision(t, "logs", m.Name); !strings.Contains(log, "the script has seen enough") {
		t.Errorf("its log does not hold what the script said:\n%s", log)
	}
	// The installer restarts the machine by itself, which then finds its new grant.
	r.provision(t, "reinstall", m.Name, "--role", "mixed", "--yes", "--no-wait")
	r.awaitState(t, m, host.Ready)
	r.powerOff(t, m)
	if after := hashOf(t, data); after != before {
		t.Errorf("the disk that was to be kept has changed")
	}
	d := r.openPartition(t, m, 1, regexp.MustCompile(`start=\s*(\d+), size=\s*(\d+),.*name="srv-data"`))
	for name, want := range map[string]string{"/root": "btrfs\n", "/var": "xfs\n", "/host": m.Name + "\n"} {
		if got := d.read(name); got != want {
			t.Errorf("the script found %q for %s, want %q", got, name, want)
		}
	}
	return m
}

// What the agent tells the firmware.
var (
	bootOrder = regexp.MustCompile(`efibootmgr --verbose --bootorder ([0-9A-F]{4}),`)
	bootNext  = regexp.MustCompile(`efibootmgr --verbose --bootnext ([0-9A-F]{4})`)
)

// blank reports whether a disk was never written.
func blank(t *testing.T, file string) bool {
	t.Helper()
	out, err := exec.Command("du", "--block-size=1", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.HasPrefix(string(out), "0\t")
}

// holds reports whether a disk has the text anywhere. Holes are left out.
func holds(t *testing.T, file, text string) bool {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for at := int64(0); ; {
		at, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return false // no more data
		}
		n, readErr := f.ReadAt(buf, at)
		if err != nil || readErr != nil && !errors.Is(readErr, io.EOF) {
			t.Fatal(errors.Join(err, readErr))
		}
		if bytes.Contains(buf[:n], []byte(text)) {
			return true
		}
		if n < len(buf) {
			return false
		}
		at += int64(n - len(text))
	}
}

func hashOf(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
