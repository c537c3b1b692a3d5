package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/installer"
)

// The order of effects of a whole install is its safety: it is written down.
func TestInstallUEFI(t *testing.T) {
	m := newMachine(t)
	m.addDisk("nvme0n1", "DISK1")
	m.addDisk("sda", "DATA")
	plan := testPlan("DISK1")
	plan.Layout.Swap = 1 << 30
	m.outputs["efibootmgr --verbose"] = []string{"BootOrder: 0003", "Boot0003* PXE\tMAC(525400123456)"}
	esp := partIdentity("esp", "DISK1", testMAC)
	m.outputs["--create-only"] = []string{"BootOrder: 0003", "Boot0003* PXE", "Boot0000* Void\tHD(1,GPT," + strings.ToUpper(esp) + ",0x800)"}
	in, marks := testInstall(t, m, plan, true)
	if err := in.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	swap, root := in.layout.volumes[0].id, in.layout.volumes[1].id
	want := []string{
		"wipefs --all --force /dev/nvme0n1",
		"sfdisk --wipe always --wipe-partitions always /dev/nvme0n1",
		"mkfs.vfat -F 32 -n EFI -i 00000000 /dev/nvme0n1p1",
		"mkswap --label swap --uuid " + swap + " /dev/nvme0n1p2",
		"mkfs.ext4 -F -q -L root -U " + root + " -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -O ^metadata_csum_seed /dev/nvme0n1p3",
		"mount /dev/nvme0n1p3 /target ext4",
		"mount /dev/nvme0n1p1 /target/boot/efi vfat",
		"mount /proc /target/proc ",
		"mount /sys /target/sys ",
		"mount /dev /target/dev ",
		"mount tmpfs /target/run tmpfs",
		"xbps-install -Sy -i -R http://10.0.0.1/void/current -R http://10.0.0.1/void/current/nonfree -r /target base-system grub",
		"chroot xbps-reconfigure -fa",
		"chown /home/op 1001:1001",
		"chown /home/op/.ssh 1001:1001",
		"chown /home/op/.ssh/authorized_keys 1001:1001",
		"chroot grub-install --target=x86_64-efi --recheck --efi-directory=/boot/efi --bootloader-id=Void --no-nvram",
		"chroot grub-mkconfig -o /boot/grub/grub.cfg",
		"efibootmgr --verbose",
		`efibootmgr --verbose --create-only --disk /dev/nvme0n1 --part 1 --label Void --loader \EFI\Void\grubx64.efi`,
		"efibootmgr --verbose --bootorder 0003,0000",
		"efibootmgr --verbose --bootnext 0000",
		"unmount /target/run", "unmount /target/dev", "unmount /target/sys", "unmount /target/proc",
		"unmount /target/boot/efi", "unmount /target",
	}
	if d := cmp.Diff(want, m.done()); d != "" {
		t.Errorf("effects differ (-want +got):\n%s", d)
	}
	var names []string
	for _, s := range in.steps() {
		names = append(names, s.name)
	}
	if d := cmp.Diff(names, *marks); d != "" {
		t.Errorf("steps told differ from steps done:\n%s", d)
	}
	if got := m.get("/target/boot/efi/EFI/BOOT/BOOTX64.EFI"); got != "grub" {
		t.Errorf("the removable path holds %q", got)
	}
}

func TestInstallBIOS(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	m.put("/sys/block/vda/vda1/partition", "1")
	m.put("/dev/vda1", "")
	plan := testPlan("DISK1")
	plan.Layout.Filesystem = "xfs"
	in, _ := testInstall(t, m, plan, false)
	if err := in.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := m.done()
	want := []string{
		"wipefs --all --force /dev/vda1", // signatures inside go before the table does
		"wipefs --all --force /dev/vda",
		"sfdisk --wipe always --wipe-partitions always /dev/vda",
		"mkfs.ext4 -F -q -L boot -U " + in.layout.volumes[0].id + " -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -O ^metadata_csum_seed /dev/vda2",
		"mkfs.xfs -f -q -K -L root -m uuid=" + in.layout.volumes[1].id + " /dev/vda3",
		"mount /dev/vda3 /target xfs",
		"mount /dev/vda2 /target/boot ext4",
	}
	if d := cmp.Diff(want, got[:len(want)]); d != "" {
		t.Errorf("effects differ (-want +got):\n%s", d)
	}
	if !slices.Contains(got, "chroot grub-install --target=i386-pc --recheck /dev/vda") {
		t.Errorf("no GRUB for BIOS in %q", got)
	}
	if i := slices.IndexFunc(got, func(s string) bool { return strings.Contains(s, "efi") }); i >= 0 {
		t.Errorf("a BIOS install did %q", got[i])
	}
}

// The role's script runs when all else is in place, and its failure leaves a
// disk that does not boot half a host.
func TestScript(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"#!/usr/bin/python3\nprint()\n", "#!/usr/bin/python3\nprint()\n"},
		{"echo hello\n", "#!/bin/sh -e\necho hello\n"},
	} {
		m := newMachine(t)
		m.addDisk("vda", "DISK1")
		plan := testPlan("DISK1")
		plan.Script = c.script
		in, _ := testInstall(t, m, plan, true)
		text := ""
		m.hooks["chroot /run/provision-script"] = func() { text = m.get(targetDir + "/run/provision-script") }
		m.fail["chroot /run/provision-script"] = errors.New("exit status 7")
		err := in.run(context.Background())
		var at *StepError
		if !errors.As(err, &at) || at.Step != "script" || !strings.Contains(err.Error(), "its last words") {
			t.Errorf("run = %v, want a StepError of script with what it said last", err)
		}
		if text != c.want {
			t.Errorf("the script was %q, want %q", text, c.want)
		}
		if got := m.get(targetDir + "/run/provision-script"); got != "" {
			t.Error("the script was left behind")
		}
		if slices.ContainsFunc(m.done(), func(s string) bool { return strings.Contains(s, "grub-install") }) {
			t.Error("the disk boots in spite of the failure")
		}
	}
}

// What the new system finds on its disk.
func TestInstalledFiles(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	in, _ := testInstall(t, m, testPlan("DISK1"), true)
	if err := in.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"/etc/hostname":                     "node1\n",
		"/etc/hosts":                        "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\tnode1\n",
		"/etc/fstab":                        in.layout.fstab(),
		"/etc/rc.conf":                      "# HARDWARECLOCK=\"UTC\"\nTIMEZONE='Europe/Berlin'\nKEYMAP='de'\n",
		"/etc/locale.conf":                  "LANG='de_DE.UTF-8'\n",
		"/etc/default/libc-locales":         "de_DE.UTF-8 UTF-8\nen_US.UTF-8 UTF-8\n",
		"/etc/passwd":                       "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nop:x:1001:1001::/home/op:/bin/bash\n",
		"/etc/group":                        "root:x:0:\nwheel:x:4:op\nusers:x:1000:\nop:x:1001:\n",
		"/etc/shadow":                       "root:!:19000:0:99999:7:::\nop:*::0:99999:7:::\n",
		"/etc/sudoers.d/wheel":              "%wheel ALL=(ALL:ALL) NOPASSWD: ALL\n",
		"/home/op/.ssh/authorized_keys":     "ssh-ed25519 AAAA op\n",
		"/etc/motd":                         "ours\n",
		"/var/db/xbps/keys/60:ae.plist":     "key",
		"/var/cache/xbps/linux-6_1.xbps":    "",
		installer.AgentBinary:               "the agent",
		"/etc/sv/provision-firstboot/run":   installer.FirstBootRun(),
		"/boot/efi/EFI/BOOT/BOOTX64.EFI":    "grub",
		"/usr/share/zoneinfo/Europe/Berlin": "",
	} {
		if got := m.get(targetDir + name); got != want {
			t.Errorf("%s differs (-want +got):\n%s", name, cmp.Diff(want, got))
		}
	}
	for name, want := range map[string]fs.FileMode{
		"/etc/shadow": 0o600, installer.EnrolFile: 0o600, installer.AgentBinary: 0o755, "/usr/local/bin/x": 0o755, "/etc/motd": 0o644,
		"/etc/sudoers.d/wheel": 0o440, "/home/op": 0o700, "/home/op/.ssh": 0o700, "/home/op/.ssh/authorized_keys": 0o600,
		"/etc/sv/provision-firstboot/run": 0o755,
	} {
		st, err := os.Stat(filepath.Join(m.root, targetDir, name))
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s has mode %v (%v), want %v", name, st.Mode().Perm(), err, want)
		}
	}
	for name, want := range map[string]string{
		"/etc/localtime":                                  "/usr/share/zoneinfo/Europe/Berlin",
		"/etc/runit/runsvdir/default/dhcpcd":              "/etc/sv/dhcpcd",
		"/etc/runit/runsvdir/default/sshd":                "/etc/sv/sshd",
		"/etc/runit/runsvdir/default/agetty-ttyS0":        "/etc/sv/agetty-ttyS0",
		"/etc/runit/runsvdir/default/provision-firstboot": "/etc/sv/provision-firstboot",
	} {
		if got, err := os.Readlink(filepath.Join(m.root, targetDir, name)); got != want {
			t.Errorf("%s leads to %q (%v), want %q", name, got, err, want)
		}
	}
	if !strings.Contains(m.get(targetDir+installer.EnrolFile), `"token": "token"`) {
		t.Errorf("the enrolment file is %s", m.get(targetDir+installer.EnrolFile))
	}
	for _, want := range []string{"GRUB_TIMEOUT='1'\n", "GRUB_CMDLINE_LINUX_DEFAULT='console=ttyS0,115200 loglevel=4'\n", "GRUB_SERIAL_COMMAND='serial --unit=0 --speed=115200'\n"} {
		if got := m.get(targetDir + "/etc/default/grub"); !strings.Contains(got, want) {
			t.Errorf("/etc/default/grub lacks %q:\n%s", want, got)
		}
	}
}

// Every effect fails in its turn: the install ends with an error that names the
// step and quotes the program, does nothing that belongs to a later step, and
// leaves nothing mounted. Only boot entries may fail without ending it.
func TestInstallSurvivesNoFaultSilently(t *testing.T) {
	steps := map[string]string{
		"wipefs": "partition", "sfdisk": "partition", "mkfs.vfat": "filesystems", "mkfs.ext4": "filesystems",
		"mount /dev/vda2 ": "mount", "mount /dev/vda1 ": "mount", "mount /proc": "mount", "mount /sys": "mount", "mount /dev /": "mount", "mount tmpfs": "mount",
		"xbps-install": "packages", "xbps-reconfigure": "configure", "chown /home/op ": "users",
		"grub-install": "bootloader", "grub-mkconfig": "bootloader", "efibootmgr": "", "unmount /target": "unmount",
	}
	for effect, step := range steps {
		t.Run(effect, func(t *testing.T) {
			m := newMachine(t)
			m.addDisk("vda", "DISK1")
			m.fail[effect] = errors.New("injected")
			in, _ := testInstall(t, m, testPlan("DISK1"), true)
			err := in.run(context.Background())
			if step == "" {
				if err != nil {
					t.Errorf("the install ended with %v, but firmware boots without an entry", err)
				}
				return
			}
			var at *StepError
			if !errors.As(err, &at) || at.Step != step || !strings.Contains(err.Error(), "injected") {
				t.Fatalf("run = %v, want a StepError of %s with the fault", err, step)
			}
			done := m.done()
			mounts := map[string]bool{}
			for _, e := range done {
				f := strings.Fields(e)
				switch f[0] {
				case "mount":
					mounts[f[2]] = m.fail[effect] != nil && !strings.Contains(e, effect)
				case "unmount":
					delete(mounts, f[1])
				}
			}
			for at, mounted := range mounts {
				if mounted {
					t.Errorf("%s stayed mounted: %q", at, done)
				}
			}
			// Nothing of a later step was begun.
			i := slices.IndexFunc(done, func(s string) bool { return strings.Contains(s, effect) })
			for _, later := range done[i+1:] {
				if !strings.HasPrefix(later, "unmount") && !strings.Contains(later, effect) {
					t.Errorf("after the fault of %q came %q", effect, later)
				}
			}
		})
	}
}

// A mirror that comes back within its time costs nothing but that time.
func TestPackagesAreRetried(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	m.fail["xbps-install"] = errors.New("connection refused")
	tries := 0
	m.hooks["xbps-install"] = func() {
		if tries++; tries == 4 {
			delete(m.fail, "xbps-install")
		}
	}
	in, _ := testInstall(t, m, testPlan("DISK1"), true)
	if err := in.run(context.Background()); err != nil {
		t.Fatalf("after %d tries: %v", tries, err)
	}
	if tries != 5 {
		t.Errorf("xbps-install ran %d times, want 5", tries)
	}
}

// A mirror that never comes back ends the install, within its bound.
func TestPackagesEnd(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	m.fail["xbps-install"] = errors.New("connection refused")
	in, _ := testInstall(t, m, testPlan("DISK1"), true)
	err := in.run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "its last words") {
		t.Errorf("run = %v, want the last output of xbps-install", err)
	}
	if m.waited > packageBudget || m.waited < packageBudget-time30s {
		t.Errorf("waited %s in all, want nearly %s", m.waited, packageBudget)
	}
}

const time30s = 30e9

// A package that does not exist will not exist in ten minutes either.
func TestMissingPackageIsNotRetried(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	m.fail["xbps-install"] = errors.New("exit status 2")
	m.outputs["xbps-install"] = []string{"Package 'nope' not found in repository pool."}
	in, _ := testInstall(t, m, testPlan("DISK1"), true)
	err := in.run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "Package 'nope'") || m.waited != 0 {
		t.Errorf("run = %v after %s of waiting, want the package's name at once", err, m.waited)
	}
}
