#!/bin/sh
# Stands for every program that an autoinstaller runs: it notes how it was called
# and does the least that its caller needs. What must fail is in /test/fail, one
# pattern a line.
name=${0##*/}
echo "$name $*" >>/test/calls
if [ -e /test/fail ]; then
	while read -r pattern; do
		# shellcheck disable=SC2254
		case "$name $*" in
		$pattern)
			echo "$name: was made to fail" >&2
			exit 1
			;;
		esac
	done </test/fail
fi
case $name in
xbps-uhelper)
	case $1 in
	arch) cat /test/arch ;;
	digest) busybox sha256sum "$2" | busybox cut -d ' ' -f 1 ;;
	fetch) exec busybox wget -q -O "${2##*>}" "${2%>*}" ;;
	esac
	;;
lsblk) cat /test/lsblk.json ;;
blkid)
	for last in "$@"; do :; done
	echo "uuid-of-$last"
	;;
sfdisk)
	busybox sed 's/^/  /' >>/test/calls
	for n in 1 2 3; do
		for disk in "$@"; do
			case $disk in
			/dev/*[0-9]) : >"${disk}p$n" ;;
			/dev/*) : >"$disk$n" ;;
			esac
		done
	done
	;;
xbps-install)
	mkdir -p /mnt/etc/sudoers.d /mnt/etc/default /mnt/etc/runit/runsvdir/default /mnt/proc /mnt/sys /mnt/dev
	for service in dhcpcd sshd agetty-ttyS0 chronyd; do mkdir -p "/mnt/etc/sv/$service"; done
	mkdir -p /mnt/boot/efi/EFI/Void
	echo grub >/mnt/boot/efi/EFI/Void/grubx64.efi
	echo 'KEYMAP="es"' >/mnt/etc/rc.conf
	echo '#en_US.UTF-8 UTF-8' >/mnt/etc/default/libc-locales
	printf 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="loglevel=4"\n' >/mnt/etc/default/grub
	;;
reboot | poweroff) kill -9 "$(cat /test/init)" ;;
esac
