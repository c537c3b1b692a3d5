package httpboot

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/installer"
	"provision.internal/lab/netboot"
)

// shell gives the server a NETBOOT image whose own autoinstaller installs as the
// role says.
func (r *rig) shell(t testing.TB, role installer.Role) {
	t.Helper()
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("needs jq, which NETBOOT images have: make deps installs it")
	}
	role.Installer = installer.InstallerShell
	if err := role.Validate("role"); err != nil {
		t.Fatal(err)
	}
	r.HTTP = r.plain.URL
	r.Autoinstall = func(h host.Host) (Autoinstall, error) {
		script, err := role.ShellScript(h, installer.Site{
			Arch: "x86_64", Repositories: []string{r.HTTP + "/void/current", r.HTTP + "/void/current/nonfree"},
			Keys: []installer.File{{Path: "60:ae.plist", Content: "the key\n"}},
		}, boot.AutoinstallURL(r.HTTP, h.MAC))
		return Autoinstall{Script: script, Shell: true}, err
	}
}

// disk is one line of lsblk -J, with what more the test says of it.
func disk(name, serial string, gigabytes int, more string) string {
	return fmt.Sprintf(`{"name": %q, "type": "disk", "size": %d, "model": "QEMU HARDDISK", "serial": %q, "wwn": null, "ro": false, "rm": false, "fstype": null, "mountpoint": null%s}`,
		name, int64(gigabytes)*1e9, serial, more)
}

func lsblk(disks ...string) string { return `{"blockdevices": [` + strings.Join(disks, ", ") + `]}` }

// Which disk is written: the role's rule on what is there; in doubt none, and the
// appliance learns of it with the list.
func TestShellChoosesTheDisk(t *testing.T) {
	const part = `, "children": [{"name": "x1", "type": "part", "size": 1, "fstype": %q, "mountpoint": null}]`
	with := func(fstype string) string { return fmt.Sprintf(part, fstype) }
	for _, tt := range []struct {
		name, rule string
		disks      []string
		grant      string // disk that the operator named
		foreign    bool
		want       string // "name serial", or what the notice says
		stops      bool
	}{
		{name: "the only one", disks: []string{disk("nvme0n1", "S1", 500, "")}, want: "nvme0n1 S1"},
		{name: "the only one that is fixed", disks: []string{disk("sda", "STICK", 16, `, "rm": true`), disk("sdb", "S1", 500, ""),
			disk("zram0", "", 4, ""), disk("mmcblk0boot0", "M", 1, "")}, want: "sdb S1"},
		{name: "strings for truths, as older programs print them", disks: []string{disk("sda", "CD", 16, `, "ro": "1"`), disk("sdb", "S1", 500, `, "ro": "0", "rm": "0", "size": "500000000000"`)}, want: "sdb S1"},
		{name: "none", disks: nil, want: "the machine shows no disk", stops: true},
		{name: "two", disks: []string{disk("sda", "S1", 500, ""), disk("sdb", "S2", 500, "")}, want: `sda 500000000000 bytes "QEMU HARDDISK" serial "S1", sdb`, stops: true},
		{name: "by serial", rule: "serial:S2", disks: []string{disk("sda", "S1", 500, ""), disk("sdb", "S2", 500, "")}, want: "sdb S2"},
		{name: "by WWN, written in either way", rule: "wwn:naa.5002538E4", disks: []string{disk("sda", "S1", 500, ""), disk("sdb", "S2", 500, `, "wwn": "0x5002538e4"`)}, want: "sdb S2"},
		{name: "by model", rule: "model:Sam*0?", disks: []string{disk("sda", "S1", 500, ""), disk("sdb", "S2", 500, `, "model": "Samsung SSD 901"`)}, want: "sdb S2"},
		{name: "by a model with dots", rule: "model:QEMU.HARDDISK", disks: []string{disk("sda", "S1", 500, "")}, want: "no disk fits", stops: true},
		{name: "smallest", rule: "smallest", disks: []string{disk("sda", "S1", 500, ""), disk("mmcblk0", "S2", 64, "")}, want: "mmcblk0 S2"},
		{name: "smallest with a bound", rule: "smallest over 100 GB", disks: []string{disk("sda", "S1", 500, ""), disk("mmcblk0", "S2", 64, "")}, want: "sda S1"},
		{name: "largest with a bound", rule: "largest under 1 TB", disks: []string{disk("sda", "S1", 500, ""), disk("sdb", "S2", 2000, "")}, want: "sda S1"},
		{name: "two of the smallest size", rule: "smallest", disks: []string{disk("sda", "S1", 500, ""), disk("sdb", "S2", 500, "")}, want: "several disks fit", stops: true},
		{name: "without a serial, by WWN", disks: []string{disk("sda", "", 500, `, "wwn": "eui.0123"`)}, want: "sda eui.0123"},
		{name: "without any name", disks: []string{disk("sda", "", 500, "")}, want: "no serial and no WWN", stops: true},
		{name: "two of one name", rule: "largest", disks: []string{disk("sda", "S1", 500, ""), disk("sdb", "S1", 400, "")}, want: "several disks share the serial S1", stops: true},
		{name: "somebody's RAID", disks: []string{disk("sda", "S1", 500, with("linux_raid_member"))}, want: "linux_raid_member on x1", stops: true},
		{name: "somebody's LUKS", disks: []string{disk("sda", "S1", 500, with("crypto_LUKS"))}, want: "provision reinstall --disk", stops: true},
		{name: "somebody's LVM on the whole disk", disks: []string{disk("sda", "S1", 500, `, "fstype": "LVM2_member"`)}, want: "LVM2_member on sda", stops: true},
		{name: "never another one instead", rule: "smallest", disks: []string{disk("sda", "S1", 100, with("zfs_member")), disk("sdb", "S2", 500, "")}, want: "zfs_member", stops: true},
		{name: "an old system of the same kind", disks: []string{disk("sda", "S1", 500, with("ext4"))}, want: "sda S1"},
		{name: "the operator's word", rule: "largest", grant: "S1", disks: []string{disk("sda", "S1", 100, ""), disk("sdb", "S2", 500, "")}, want: "sda S1"},
		{name: "the operator's word for foreign data", grant: "S1", foreign: true, disks: []string{disk("sda", "S1", 500, with("crypto_LUKS"))}, want: "sda S1"},
		{name: "a WWN for a name", grant: "naa.5002538e4", disks: []string{disk("sda", "", 500, `, "wwn": "0x5002538e4"`)}, want: "sda naa.5002538e4"},
		{name: "in use, whatever the operator says", grant: "S1", foreign: true, want: "is in use", stops: true,
			disks: []string{disk("sda", "S1", 500, `, "children": [{"name": "md0", "type": "raid1", "size": 1, "fstype": null, "mountpoint": null}]`)}},
		{name: "mounted", want: "x1 is mounted on /srv", stops: true,
			disks: []string{disk("sda", "S1", 500, `, "children": [{"name": "x1", "type": "part", "size": 1, "fstype": "ext4", "mountpoint": "/srv"}]`)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.shell(t, installer.Role{Disk: tt.rule})
			r.admit(t, mac1, "n1", "")
			r.put(t, mac1, func(h *host.Host) error { h.Grant.Disk, h.Grant.Foreign = tt.grant, tt.foreign; return nil })
			run := r.power(t, &netboot.Machine{Disks: lsblk(tt.disks...), UEFI: true})
			h := r.get(t, mac1)
			if run.End != netboot.Restarted {
				t.Errorf("it ended by %q:\n%s", run.End, run.Console)
			}
			if tt.stops {
				notices := strings.Join(r.events(t, mac1, host.KindNotice), "\n")
				if h.State != host.Admitted || !h.Grant.Open(r.clock()) || len(touched(run)) > 0 || !strings.Contains(notices, tt.want) || !strings.Contains(run.Console, "NOT installed") {
					t.Errorf("the host is %s, %q was called, the notice is %q; want none and %q\nconsole:\n%s", h.State, touched(run), notices, tt.want, run.Console)
				}
				return
			}
			name, id, _ := strings.Cut(tt.want, " ")
			if h.State != host.Installed || h.Grant.Disk != id || !slices.Contains(run.Calls, "sfdisk --wipe always --wipe-partitions always /dev/"+name) {
				t.Errorf("the host is %s with %q, %q was called; want %s\nconsole:\n%s", h.State, h.Grant.Disk, touched(run), tt.want, run.Console)
			}
		})
	}
}

// shellRole uses all that a role of upstream's installer may have.
func shellRole() installer.Role {
	return installer.Role{
		Swap: 4 << 30, Packages: []string{"chrony"}, Services: []string{"chronyd"}, Timezone: "Europe/Berlin", Keymap: "de-latin1", Locale: "de_DE.UTF-8",
		Cmdline: "console=ttyS0,115200 loglevel=4 quote='x'",
		Users:   []installer.User{{Name: "op", Groups: []string{"wheel", "users"}, Keys: []string{"ssh-ed25519 AAAA op's key"}}},
		Files:   []installer.File{{Path: "/etc/motd", Content: "it's\n$ours `\\\n"}, {Path: "/usr/local/bin/x", Mode: 0o755, Content: "#!/bin/sh\n"}},
	}
}

// The order of calls of a whole install is its safety: it is written down.
func TestShellInstalls(t *testing.T) {
	for _, tt := range []struct {
		shell string
		uefi  bool
		want  []string
	}{
		{"dash", true, []string{
			"sfdisk --wipe always --wipe-partitions always /dev/nvme0n1",
			"  label: gpt", "  size=512MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
			"  size=4096MiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "  type=0FC63DAF-8483-4772-8E79-3D69D8477DE4",
			"udevadm settle",
			"mkfs.vfat -F 32 /dev/nvme0n1p1", "mkswap /dev/nvme0n1p2", "mkfs.ext4 -F -q -L root /dev/nvme0n1p3",
			"mount /dev/nvme0n1p3 /mnt", "mount /dev/nvme0n1p1 /mnt/boot/efi",
			"xbps-install -Sy -i -R SERVER/void/current -R SERVER/void/current/nonfree -r /mnt grub-x86_64-efi base-system chrony",
			"mount -t efivarfs none /sys/firmware/efi/efivars", "mount -t proc proc /mnt/proc", "mount --rbind /sys /mnt/sys", "mount --rbind /dev /mnt/dev",
			"chroot /mnt chmod 755 /", "chroot /mnt usermod -p ! root",
			"chroot /mnt useradd -m -U -s /bin/bash op", "chroot /mnt usermod -a -G wheel,users op", "chroot /mnt usermod -p * op", "chroot /mnt chown -R op:op /home/op",
			"chroot /mnt grub-install --target=x86_64-efi --efi-directory=/boot/efi --bootloader-id=Void --no-nvram",
			"chroot /mnt xbps-reconfigure -fa", "chroot /mnt update-grub",
			"blkid -s UUID -o value /dev/nvme0n1p3", "blkid -s UUID -o value /dev/nvme0n1p1", "blkid -s UUID -o value /dev/nvme0n1p2",
			"sync", "umount -R /mnt", "sync", "reboot -f",
		}},
		{"busybox", false, []string{
			"sfdisk --wipe always --wipe-partitions always /dev/nvme0n1",
			"  label: gpt", "  size=1MiB, type=21686148-6449-6E6F-744E-656564454649",
			"  size=4096MiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "  type=0FC63DAF-8483-4772-8E79-3D69D8477DE4",
			"udevadm settle",
			"mkswap /dev/nvme0n1p2", "mkfs.ext4 -F -q -L root /dev/nvme0n1p3",
			"mount /dev/nvme0n1p3 /mnt",
			"xbps-install -Sy -i -R SERVER/void/current -R SERVER/void/current/nonfree -r /mnt grub base-system chrony",
			"mount -t proc proc /mnt/proc", "mount --rbind /sys /mnt/sys", "mount --rbind /dev /mnt/dev",
			"chroot /mnt chmod 755 /", "chroot /mnt usermod -p ! root",
			"chroot /mnt useradd -m -U -s /bin/bash op", "chroot /mnt usermod -a -G wheel,users op", "chroot /mnt usermod -p * op", "chroot /mnt chown -R op:op /home/op",
			"chroot /mnt grub-install --target=i386-pc /dev/nvme0n1",
			"chroot /mnt xbps-reconfigure -fa", "chroot /mnt update-grub",
			"blkid -s UUID -o value /dev/nvme0n1p3", "blkid -s UUID -o value /dev/nvme0n1p2",
			"sync", "umount -R /mnt", "sync", "reboot -f",
		}},
	} {
		t.Run(tt.shell, func(t *testing.T) {
			r := newRig(t)
			r.shell(t, shellRole())
			r.admit(t, mac1, "n1", "")
			m := &netboot.Machine{Shell: tt.shell, UEFI: tt.uefi, UUID: uuid1.String(), Disks: lsblk(disk("nvme0n1", "S1", 500, ""))}
			run := r.power(t, m)
			var got []string
			for _, c := range run.Calls {
				if !strings.HasPrefix(c, "xbps-uhelper ") && !strings.HasPrefix(c, "lsblk ") && !strings.HasPrefix(c, "dhclient") {
					got = append(got, strings.ReplaceAll(c, r.plain.URL, "SERVER"))
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("calls differ (-want +got):\n%s\nconsole:\n%s", d, run.Console)
			}
			h := r.get(t, mac1)
			if run.End != netboot.Restarted || h.State != host.Installed || h.UUID != uuid1 || !h.Arrived() || h.Enrolment != nil {
				t.Errorf("it ended by %q, and the host is %+v", run.End, h)
			}
			if got := r.events(t, mac1, host.KindProgress); len(got) == 0 {
				t.Error("no progress was told")
			}
			wantFiles(t, m, tt.uefi)
		})
	}
}

// wantFiles checks what the new system finds.
func wantFiles(t *testing.T, m *netboot.Machine, uefi bool) {
	t.Helper()
	fstab := "UUID=uuid-of-/dev/nvme0n1p3 / ext4 defaults 0 1\n"
	if uefi {
		fstab += "UUID=uuid-of-/dev/nvme0n1p1 /boot/efi vfat defaults,umask=0077 0 2\n"
	}
	fstab += "UUID=uuid-of-/dev/nvme0n1p2 none swap defaults 0 0\ntmpfs /tmp tmpfs defaults,nosuid,nodev 0 0\n"
	files := map[string]string{
		"/etc/hostname": "n1\n", "/etc/fstab": fstab, "/etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\tn1\n",
		"/etc/rc.conf":                     "KEYMAP=\"es\"\nTIMEZONE='Europe/Berlin'\nKEYMAP='de-latin1'\n",
		"/etc/locale.conf":                 "LANG='de_DE.UTF-8'\n",
		"/etc/motd":                        "it's\n$ours `\\\n",
		"/usr/local/bin/x":                 "#!/bin/sh\n",
		"/etc/sudoers.d/wheel":             "%wheel ALL=(ALL:ALL) NOPASSWD: ALL\n",
		"/home/op/.ssh/authorized_keys":    "ssh-ed25519 AAAA op's key\n",
		"/var/db/xbps/keys/60:ae.plist":    "the key\n",
		"/var/db/xbps/keys/upstream.plist": "",
		"/etc/sudoers.d/00-wheel":          "",
		"/boot/efi/EFI/BOOT/BOOTX64.EFI":   map[bool]string{true: "grub\n"}[uefi],
		"/etc/default/grub": "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=\"loglevel=4\"\nGRUB_TIMEOUT='1'\nGRUB_DISTRIBUTOR='Void'\n" +
			`GRUB_CMDLINE_LINUX_DEFAULT='console=ttyS0,115200 loglevel=4 quote='\''x'\'''` +
			"\nGRUB_TERMINAL_INPUT='console serial'\nGRUB_TERMINAL_OUTPUT='console serial'\nGRUB_SERIAL_COMMAND='serial --unit=0 --speed=115200'\n",
	}
	for name, want := range files {
		got, err := m.File("/mnt" + name)
		if err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s differs (-want +got):\n%s", name, d)
		}
	}
	for name, want := range map[string]string{
		"/etc/localtime":                           "/usr/share/zoneinfo/Europe/Berlin",
		"/etc/runit/runsvdir/default/dhcpcd":       "/etc/sv/dhcpcd",
		"/etc/runit/runsvdir/default/sshd":         "/etc/sv/sshd",
		"/etc/runit/runsvdir/default/chronyd":      "/etc/sv/chronyd",
		"/etc/runit/runsvdir/default/agetty-ttyS0": "/etc/sv/agetty-ttyS0",
	} {
		if got, err := m.Link("/mnt" + name); err != nil || got != want {
			t.Errorf("%s leads to %q (%v), want %q", name, got, err, want)
		}
	}
}

// Whatever fails: the init of the image goes on, the appliance hears of the step
// and the words, somebody at the console gets a shell, and the grant is gone once
// something may have been written.
func TestShellFailsAtEveryStep(t *testing.T) {
	for pattern, want := range map[string]struct {
		state host.State
		says  string
	}{
		"lsblk -J *":                     {host.Admitted, "step disk"},
		"xbps-uhelper fetch */take*":     {host.Admitted, "no grant"},
		"sfdisk *":                       {host.Failed, "step partition: sfdisk: was made to fail"},
		"udevadm *":                      {host.Failed, "step partition: a command failed"},
		"mkfs.vfat *":                    {host.Failed, "step filesystems: mkfs.vfat: was made to fail"},
		"mkfs.ext4 *":                    {host.Failed, "step filesystems: mkfs.ext4"},
		"mount /dev/*":                   {host.Failed, "step filesystems: mount"},
		"xbps-install *":                 {host.Failed, "step packages: xbps-install: was made to fail"},
		"mount --rbind /dev *":           {host.Failed, "step packages"},
		"chroot /mnt useradd *":          {host.Failed, "step users"},
		"chroot /mnt grub-install *":     {host.Failed, "step bootloader: chroot: was made to fail"},
		"chroot /mnt xbps-reconfigure *": {host.Failed, "step bootloader: chroot"},
		"blkid *":                        {host.Failed, "step bootloader"},
		"umount *":                       {host.Failed, "step unmount"},
		"xbps-uhelper fetch */step*":     {host.Installed, ""},
		"xbps-uhelper fetch */done*":     {host.Installing, ""},
		"reboot never":                   {host.Installed, ""},
	} {
		for _, shell := range []string{"busybox", "dash"} {
			t.Run(pattern+" in "+shell, func(t *testing.T) {
				r := newRig(t)
				r.shell(t, shellRole())
				r.admit(t, mac1, "n1", "")
				run := r.power(t, &netboot.Machine{Shell: shell, UEFI: true, Fail: []string{pattern}, Disks: lsblk(disk("nvme0n1", "S1", 500, ""))})
				h := r.get(t, mac1)
				told := strings.Join(r.events(t, mac1, host.KindNotice), "\n")
				if h.Failure != nil {
					told += h.Failure.Reason
				}
				if run.End != netboot.Restarted || h.State != want.state || !strings.Contains(told, want.says) {
					t.Errorf("it ended by %q, the host is %s: %q; want %s with %q\nconsole:\n%s", run.End, h.State, told, want.state, want.says, run.Console)
				}
				if stays := want.says != ""; slices.Contains(run.Calls, "an operator works here") != stays {
					t.Errorf("an operator gets a shell: %v, want %v", !stays, stays)
				}
				if h.State == host.Admitted && len(touched(run)) > 0 {
					t.Errorf("without a grant %q was called", touched(run))
				}
				if h.State != host.Admitted && h.Grant.Open(r.clock()) {
					t.Error("the grant is open still")
				}
			})
		}
	}
}

// A machine that starts again finds its grant used: the same script wipes nothing.
func TestShellInstallsOnce(t *testing.T) {
	r := newRig(t)
	r.shell(t, shellRole())
	r.admit(t, mac1, "n1", "")
	a, err := r.Autoinstall(r.get(t, mac1))
	if err != nil {
		t.Fatal(err)
	}
	r.power(t, &netboot.Machine{Disks: lsblk(disk("sda", "S1", 500, ""))})
	r.wantState(t, mac1, host.Installed)
	// Served anew it says that there is nothing to do; kept from then it gets no grant.
	run := r.power(t, &netboot.Machine{Disks: lsblk(disk("sda", "S1", 500, ""))})
	if !strings.Contains(run.Console, "nothing is to be installed") || len(touched(run)) > 0 {
		t.Errorf("served anew: %q\n%s", touched(run), run.Console)
	}
	kept := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = plainText(w, a.Script) }))
	defer kept.Close()
	run = r.boot(t, &netboot.Machine{BootID: "99999999-2222-4333-8444-555555555555", Disks: lsblk(disk("sda", "S1", 500, ""))}, kept.URL)
	if len(touched(run)) > 0 || !strings.Contains(run.Console, "no grant") {
		t.Errorf("kept from then: %q\n%s", touched(run), run.Console)
	}
}
