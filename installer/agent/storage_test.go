package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/installer"
)

// mirrorPlan is a plan for an encrypted mirror with swap.
func mirrorPlan() installer.Plan {
	plan := testPlan("DISK1")
	plan.Disks = append(plan.Disks, installer.Disk{Serial: "DISK2", Size: 8 << 30})
	plan.Layout.Mirror, plan.Layout.Passphrase, plan.Layout.Swap = true, "open sesame", 1<<30
	return plan
}

// Two arrays, two encrypted devices on them, a boot loader on each disk; all is
// closed at the end, and no argument shows a secret.
func TestInstallEncryptedMirror(t *testing.T) {
	m := newMachine(t)
	m.addDisk("sda", "DISK1")
	m.addDisk("sdb", "DISK2")
	m.addDisk("sdc", "DATA")
	first, second := strings.ToUpper(partIdentity("esp", "DISK1", testMAC)), strings.ToUpper(partIdentity("esp", "DISK2", testMAC))
	m.outputs["--label Void --loader"] = []string{"BootOrder: 0003", "Boot0003* PXE", "Boot0000* Void\tHD(1,GPT," + first + ",0x800)"}
	m.outputs["--label Void 2"] = []string{"BootOrder: 0003", "Boot0003* PXE", "Boot0000* Void\tHD(1,GPT," + first + ",0x800)", "Boot0001* Void 2\tHD(1,GPT," + second + ",0x800)"}
	in, _ := testInstall(t, m, mirrorPlan(), true)
	in.sys.Rand = new(counter)
	var stdin []string
	run := in.sys.Run
	in.sys.Run = func(ctx context.Context, c Command) error {
		if c.Stdin != "" && c.Args[0] == "cryptsetup" {
			stdin = append(stdin, c.Stdin)
		}
		return run(ctx, c)
	}
	if err := in.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	v := in.layout.volumes // boot, swap, root
	key := "/run/provision/luks.key"
	crypt := func(v volume) (all []string) {
		all = append(all, "cryptsetup luksFormat --type=luks2 --batch-mode --uuid="+v.luks+
			" --pbkdf=pbkdf2 --pbkdf-force-iterations=1000 --key-slot=1 --key-file="+key+" "+v.md)
		if v.path == "/" {
			all = append(all, "cryptsetup luksAddKey --batch-mode --pbkdf-memory=65536 --key-slot=0 --key-file="+key+" "+v.md+" -")
		}
		return append(all, "cryptsetup open --type=luks2 --key-file="+key+" "+v.md+" luks-"+v.luks)
	}
	array := func(v volume) string {
		return "mdadm --create " + v.md + " --run --assume-clean --level=1 --metadata=1.2 --bitmap=internal --homehost=any --name=" + v.name +
			" --uuid=" + v.mdID + " --raid-devices=2 " + strings.Join(v.parts, " ")
	}
	ext4 := func(v volume) string {
		return "mkfs.ext4 -F -q -L " + v.name + " -U " + v.id + " -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -O ^metadata_csum_seed " + v.device()
	}
	want := slices.Concat([]string{
		"wipefs --all --force /dev/sda", "sfdisk --wipe always --wipe-partitions always /dev/sda",
		"wipefs --all --force /dev/sdb", "sfdisk --wipe always --wipe-partitions always /dev/sdb",
		in.self + " -q -- raid1", array(v[0]), array(v[1]), array(v[2]),
		in.self + " -q -- dm_mod dm_crypt xts",
	}, crypt(v[1]), crypt(v[2]), []string{
		"mkfs.vfat -F 32 -n EFI -i 09090909 /dev/sda1", "mkfs.vfat -F 32 -n EFI -i 0A0A0A0A /dev/sdb1",
		ext4(v[0]), "mkswap --label swap --uuid " + v[1].id + " " + v[1].device(), ext4(v[2]),
		"mount " + v[2].device() + " /target ext4", "mount /dev/md0 /target/boot ext4",
		"mount /dev/sda1 /target/boot/efi vfat", "mount /dev/sdb1 /target/boot/efi2 vfat",
		"mount /proc /target/proc ", "mount /sys /target/sys ", "mount /dev /target/dev ", "mount tmpfs /target/run tmpfs",
		"xbps-install -Sy -i -R http://10.0.0.1/void/current -R http://10.0.0.1/void/current/nonfree -r /target base-system grub",
		"chroot xbps-reconfigure -fa",
		"chown /home/op 1001:1001", "chown /home/op/.ssh 1001:1001", "chown /home/op/.ssh/authorized_keys 1001:1001",
		"chroot grub-install --target=x86_64-efi --recheck --efi-directory=/boot/efi --bootloader-id=Void --no-nvram",
		"chroot grub-install --target=x86_64-efi --recheck --efi-directory=/boot/efi2 --bootloader-id=Void --no-nvram",
		"chroot grub-mkconfig -o /boot/grub/grub.cfg",
		"efibootmgr --verbose",
		`efibootmgr --verbose --create-only --disk /dev/sda --part 1 --label Void --loader \EFI\Void\grubx64.efi`,
		`efibootmgr --verbose --create-only --disk /dev/sdb --part 1 --label Void 2 --loader \EFI\Void\grubx64.efi`,
		"efibootmgr --verbose --bootorder 0003,0000,0001",
		"efibootmgr --verbose --bootnext 0000",
		"unmount /target/run", "unmount /target/dev", "unmount /target/sys", "unmount /target/proc",
		"unmount /target/boot/efi2", "unmount /target/boot/efi", "unmount /target/boot", "unmount /target",
		"cryptsetup close luks-" + v[2].luks, "cryptsetup close luks-" + v[1].luks,
		"mdadm --stop /dev/md2", "mdadm --stop /dev/md1", "mdadm --stop /dev/md0",
	})
	if d := cmp.Diff(want, m.done()); d != "" {
		t.Errorf("effects differ (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"open sesame"}, stdin); d != "" {
		t.Errorf("cryptsetup read something else:\n%s", d)
	}
	for name, want := range map[string]string{
		"/etc/mdadm.conf": "ARRAY /dev/md/boot metadata=1.2 UUID=" + v[0].mdID + "\nARRAY /dev/md/swap metadata=1.2 UUID=" + v[1].mdID +
			"\nARRAY /dev/md/root metadata=1.2 UUID=" + v[2].mdID + "\n",
		"/etc/crypttab":                     "luks-" + v[1].luks + "\tUUID=" + v[1].luks + "\t/etc/provision/luks.key\tluks\n",
		"/etc/dracut.conf.d/provision.conf": "add_dracutmodules+=\" mdraid crypt \"\nmdadmconf=\"yes\"\n",
		keyFile:                             in.key,
		"/boot/efi2/EFI/BOOT/BOOTX64.EFI":   "grub",
	} {
		if got := m.get(targetDir + name); got != want || want == "" {
			t.Errorf("%s differs (-want +got):\n%s", name, cmp.Diff(want, got))
		}
	}
	if st, err := os.Stat(filepath.Join(m.root, targetDir, keyFile)); err != nil || st.Mode().Perm() != 0o400 {
		t.Errorf("the key has the mode %v (%v), want 0400", st.Mode(), err)
	}
	if got := m.get(key); got != "" {
		t.Error("the key is still in the installer")
	}
	for _, part := range []string{"GRUB_CMDLINE_LINUX='rd.md.uuid=" + v[0].mdID + " ", " rd.luks.uuid=" + v[2].luks + " rd.vconsole.keymap=de'"} {
		if got := m.get(targetDir + "/etc/default/grub"); !strings.Contains(got, part) {
			t.Errorf("/etc/default/grub lacks %q:\n%s", part, got)
		}
	}
}
