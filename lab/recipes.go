package lab

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"provision.internal/xbps"
)

// recipe says how one of Void's packages is made of Debian's. Names and
// dependencies are Void's; what Void splits further is kept together, because
// each package costs time on an emulated machine.
type recipe struct {
	name    string
	desc    string
	from    []string // Debian packages; the first one gives the version
	take    []string // patterns for tree.pick, over all of from
	own     bool     // has files of our own in void/NAME
	links   []string // "path → target", symbolic
	dirs    []string // empty folders, "tmp 1777"
	depends []string
	conf    []string // configuration files, absolute
	install string   // shell: done once everything is unpacked, and when the package is configured again
	part    string   // of the repository, when not "current"
}

const (
	mainPart    = "current"
	nonfreePart = "current/nonfree"
)

// recipes are all packages but the kernel's.
var recipes = []recipe{
	{
		name: "base-files", desc: "Void Linux base system files", own: true,
		links: []string{
			"bin → usr/bin", "sbin → usr/bin", "lib → usr/lib", "lib64 → usr/lib",
			"usr/sbin → bin", "usr/lib64 → lib", "etc/mtab → ../proc/self/mounts",
			"var/run → ../run", "var/lock → ../run/lock", "etc/os-release → ../usr/lib/os-release",
		},
		dirs: []string{
			"boot 0755", "dev 0755", "home 0755", "mnt 0755", "opt 0755", "proc 0555", "root 0700", "run 0755",
			"sys 0555", "tmp 1777", "var/cache 0755", "var/lib 0755", "var/log 0755", "var/tmp 1777", "etc/sysctl.d 0755",
		},
		conf: []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/fstab", "/etc/hosts", "/etc/nsswitch.conf", "/etc/profile"},
	},
	{
		name: "glibc", desc: "GNU C library", from: []string{"libc6"}, depends: []string{"base-files"},
		take: []string{
			"usr/lib/ld-linux-x86-64.so.2", "usr/lib/libc.so.6", "usr/lib/libm.so.6", "usr/lib/libdl.so.2",
			"usr/lib/libpthread.so.0", "usr/lib/librt.so.1", "usr/lib/libresolv.so.2", "usr/lib/libnss_files.so.2", "usr/lib/libnss_dns.so.2",
		},
	},
	{
		name: "busybox", desc: "The tools that Void has from coreutils, grep, sed, kmod, iproute2 and others",
		from: []string{"busybox-static"}, depends: []string{"base-files"},
		take: []string{"usr/bin/busybox"}, links: applets(),
	},
	{
		name: "util-linux", desc: "Miscellaneous linux utilities", depends: []string{"glibc"},
		from: []string{
			"util-linux", "fdisk", "mount", "libblkid1", "libmount1", "libsmartcols1", "libuuid1", "libfdisk1",
			"libselinux1", "libpcre2-8-0", "libtinfo6", "libreadline8", "libudev1", "libdevmapper1.02.1",
		},
		take: []string{
			"usr/bin/sfdisk", "usr/bin/blkid", "usr/bin/wipefs", "usr/bin/lsblk", "usr/bin/findmnt", "usr/bin/mount", "usr/bin/umount",
			"usr/bin/mkswap", "usr/bin/swapon", "usr/bin/swapoff", "usr/bin/agetty", "usr/bin/blockdev",
			"usr/lib/libblkid.so.1*", "usr/lib/libmount.so.1*", "usr/lib/libsmartcols.so.1*", "usr/lib/libuuid.so.1*", "usr/lib/libfdisk.so.1*",
			"usr/lib/libselinux.so.1", "usr/lib/libpcre2-8.so.0*", "usr/lib/libtinfo.so.6*", "usr/lib/libreadline.so.8*", "usr/lib/libudev.so.1*",
			"usr/lib/libdevmapper.so.1.02.1",
		},
	},
	{
		name: "e2fsprogs", desc: "Ext2/3/4 filesystem utilities", depends: []string{"util-linux"},
		from: []string{"e2fsprogs", "libext2fs2", "libcom-err2"},
		take: []string{
			"usr/bin/mke2fs", "usr/bin/mkfs.ext4", "usr/bin/e2fsck", "usr/bin/fsck.ext4", "usr/bin/tune2fs", "etc/mke2fs.conf",
			"usr/lib/libext2fs.so.2*", "usr/lib/libe2p.so.2*", "usr/lib/libcom_err.so.2*",
		},
		conf: []string{"/etc/mke2fs.conf"},
	},
	{
		name: "liblzma", desc: "XZ-format compression library", from: []string{"liblzma5"}, depends: []string{"glibc"},
		take: []string{"usr/lib/liblzma.so.5*"},
	},
	{
		name: "dosfstools", desc: "DOS filesystem tools", from: []string{"dosfstools"}, depends: []string{"glibc"},
		take: []string{"usr/bin/mkfs.fat", "usr/bin/mkfs.vfat", "usr/bin/fsck.fat", "usr/bin/fsck.vfat"},
	},
	{
		name: "dhcpcd", desc: "RFC2131 compliant DHCP client", from: []string{"dhcpcd-base"}, depends: []string{"util-linux", "busybox"}, own: true,
		take: []string{"usr/bin/dhcpcd", "usr/lib/dhcpcd/dhcpcd-run-hooks", "usr/lib/dhcpcd/dhcpcd-hooks/"},
		dirs: []string{"var/lib/dhcpcd 0755"},
		conf: []string{"/etc/dhcpcd.conf"},
	},
	{
		name: "runit", desc: "UNIX init scheme with service supervision", from: []string{"runit"}, depends: []string{"glibc"},
		take: []string{
			"usr/bin/runit", "usr/lib/runit/runit-init", "usr/bin/runsv", "usr/bin/runsvdir", "usr/bin/sv", "usr/bin/chpst", "usr/bin/svlogd",
		},
		links: []string{"usr/bin/runit-init → ../lib/runit/runit-init"},
	},
	{
		name: "runit-void", desc: "Void Linux runit scripts", depends: []string{"runit", "busybox", "util-linux", "e2fsprogs"}, own: true,
		links: []string{
			"usr/bin/init → runit-init", "usr/bin/halt → shutdown", "usr/bin/poweroff → shutdown", "usr/bin/reboot → shutdown",
			"etc/runit/stopit → /run/runit.stopit", "etc/runit/reboot → /run/runit.reboot", // where Debian's runit looks
			"etc/runit/runsvdir/current → default", "var/service → ../run/runit/runsvdir/current",
			"etc/service → /var/service", // sv's default folder in Debian
		},
		dirs: []string{"etc/runit/runsvdir/default 0755", "etc/runit/runsvdir/single 0755"},
		conf: []string{"/etc/rc.conf", "/etc/rc.local", "/etc/rc.shutdown"},
	},
	{
		name: "efibootmgr", desc: "Tool to modify UEFI Firmware Boot Manager variables", depends: []string{"glibc"},
		from: []string{"efibootmgr", "libefiboot1", "libefivar1", "libpopt0"},
		take: []string{"usr/bin/efibootmgr", "usr/lib/libefiboot.so.1*", "usr/lib/libefivar.so.1*", "usr/lib/libpopt.so.0*"},
	},
	{
		name: "grub", desc: "GRand Unified Bootloader 2", own: true,
		depends: []string{"util-linux", "busybox", "liblzma", "efibootmgr"}, // grub-install is linked with efibootmgr's libraries
		from:    []string{"grub2-common", "grub-common", "grub-pc-bin"},
		take: []string{
			"usr/bin/grub-install", "usr/bin/grub-mkconfig", "usr/bin/grub-probe", "usr/bin/grub-editenv", "usr/bin/grub-mkrelpath",
			"usr/bin/grub-script-check", "usr/bin/grub-file", "usr/share/grub/grub-mkconfig_lib", "etc/grub.d/00_header", "etc/grub.d/10_linux",
			"etc/grub.d/40_custom", "usr/lib/grub/grub-mkconfig_lib",
			"usr/lib/grub/i386-pc/*.mod", "usr/lib/grub/i386-pc/*.lst", "usr/lib/grub/i386-pc/*.img", "usr/lib/grub/i386-pc/modinfo.sh",
		},
		dirs: []string{"boot/grub 0755", "usr/share/locale 0755"},
		conf: []string{"/etc/default/grub"},
	},
	{
		name: "grub-x86_64-efi", desc: "GRand Unified Bootloader 2 - x86_64 EFI support", from: []string{"grub-efi-amd64-bin"},
		depends: []string{"grub", "efibootmgr", "dosfstools"},
		take:    []string{"usr/lib/grub/x86_64-efi/*.mod", "usr/lib/grub/x86_64-efi/*.lst", "usr/lib/grub/x86_64-efi/*.img", "usr/lib/grub/x86_64-efi/modinfo.sh"},
	},
	{
		name: "dracut", desc: "Low-level tool for generating an initramfs", own: true, depends: []string{"busybox", "glibc"},
		dirs: []string{"etc/dracut.conf.d 0755"}, install: "[ \"$1\" = pre ] || usr/bin/dracut\n",
	},
	{
		name: "mdadm", desc: "Tool for managing md/RAID devices", from: []string{"mdadm"}, depends: []string{"util-linux", "dracut"},
		take: []string{"usr/bin/mdadm"},
	},
	{
		// dmsetup is of Void's device-mapper; of popt's library there is one, in efibootmgr.
		name: "cryptsetup", desc: "Setup virtual encryption devices under Linux dm-crypt", depends: []string{"util-linux", "efibootmgr", "dracut"},
		from: []string{"cryptsetup-bin", "libcryptsetup12", "libssl3", "libargon2-1", "libjson-c5", "libgcc-s1", "dmsetup"},
		take: []string{
			"usr/bin/cryptsetup", "usr/bin/dmsetup", "usr/lib/libcryptsetup.so.12*", "usr/lib/libcrypto.so.3", "usr/lib/libargon2.so.1",
			"usr/lib/libjson-c.so.5*", "usr/lib/libgcc_s.so.1",
		},
	},
	{
		name: "btrfs-progs", desc: "Btrfs filesystem utilities", depends: []string{"util-linux", "e2fsprogs", "dracut"},
		from: []string{"btrfs-progs", "liblzo2-2", "libzstd1", "zlib1g"},
		take: []string{
			"usr/bin/btrfs", "usr/bin/mkfs.btrfs", "usr/bin/fsck.btrfs", "usr/lib/liblzo2.so.2*", "usr/lib/libzstd.so.1*", "usr/lib/libz.so.1*",
		},
	},
	{
		name: "xfsprogs", desc: "Utilities for managing the XFS filesystem", depends: []string{"util-linux"},
		from: []string{"xfsprogs", "libinih1", "liburcu8"},
		take: []string{"usr/bin/mkfs.xfs", "usr/bin/xfs_repair", "usr/bin/fsck.xfs", "usr/lib/libinih.so*", "usr/lib/liburcu.so.8*"},
	},
	{
		name: "base-system", desc: "Void Linux base system meta package",
		depends: []string{
			"base-files", "glibc", "busybox", "util-linux", "e2fsprogs", "dosfstools", "dhcpcd", "runit-void", "linux", "xbps",
		},
	},
}

// applets are the programs that the stand-in has from busybox. Those that it has
// from their own packages are not among them.
func applets() []string {
	const names = `[ arch ash awk basename cat chgrp chmod chown chroot clear cmp cp cpio cut date dd depmod df diff dirname
		dmesg du echo ed egrep env expr false fgrep find findfs fold free getopt grep groups gunzip gzip head hexdump
		hostid hostname id insmod ip kill killall less link ln logger login ls lsmod lzcat md5sum mkdir mkfifo mknod
		mktemp modinfo modprobe more mv nc nslookup nproc od paste patch pidof ping printf ps pwd readlink realpath
		reset rm rmdir rmmod sed seq setsid sh sha1sum sha256sum sleep sort stat stty su sync sysctl tac tail tar tee
		test time timeout top touch tr true truncate tty uname uniq unlink unlzma unxz unzip uptime usleep vi wc wget
		which who whoami xargs xz xzcat yes zcat`
	var links []string
	for _, name := range strings.Fields(names) {
		links = append(links, "usr/bin/"+name+" → busybox")
	}
	return links
}

// files are what the recipe adds to Debian's files besides void/NAME.
func (r recipe) files() tree {
	t := tree{}
	for _, l := range r.links {
		name, target, _ := strings.Cut(l, " → ")
		t.add(xbps.Symlink(name, target))
	}
	for _, d := range r.dirs {
		name, mode, _ := strings.Cut(d, " ")
		t.add(xbps.Directory(name, octal(mode)))
	}
	return t
}

// debsWanted lists the Debian packages of all recipes.
func debsWanted() []string {
	var names []string
	for _, r := range recipes {
		names = append(names, r.from...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// octal reads the modes of recipes, which are constants.
func octal(s string) fs.FileMode {
	n, err := strconv.ParseUint(s, 8, 12)
	if err != nil {
		panic(err)
	}
	mode := fs.FileMode(n & 0o777)
	if n&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}
