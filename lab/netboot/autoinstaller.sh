# Stands in for the autoinstaller of void-mklive's NETBOOT images, and is all of
# it that a configuration may count on: when it is read, in which shell, with
# which variables, and which functions it may put others in the place of. Init
# sources this file; with "auto" on the kernel's command line a failing command
# then ends init. What upstream does wrong is done wrong here too.
# shellcheck shell=sh

autoinstall_word() {
	read -r autoinstall_words </proc/cmdline
	for autoinstall_each in $autoinstall_words; do
		case $autoinstall_each in
		"$1") return 0 ;;
		"$1"=*)
			printf '%s\n' "${autoinstall_each#*=}"
			return 0
			;;
		esac
	done
	return 1
}

VAI_partition_disk() {
	if [ -d /sys/firmware/efi ]; then
		printf 'label: gpt\nsize=100MiB, type=U\ntype=L\n' | sfdisk "$disk"
	else
		printf 'label: dos\ntype=L, bootable\n' | sfdisk "$disk"
	fi
}

# The numbers are put behind whatever the disk is called.
autoinstall_parts() {
	root_part=${disk}1
	esp_part=''
	if [ -d /sys/firmware/efi ]; then
		esp_part=${disk}1 root_part=${disk}2
	fi
}

VAI_format_disk() {
	autoinstall_parts
	[ -z "$esp_part" ] || mkfs.vfat -F32 "$esp_part"
	mkfs.ext4 -F "$root_part"
}

VAI_mount_target() {
	autoinstall_parts
	mkdir -p "$target"
	mount "$root_part" "$target"
	if [ -n "$esp_part" ]; then
		mkdir -p "$target/boot/efi"
		mount "$esp_part" "$target/boot/efi"
	fi
}

VAI_install_xbps_keys() {
	mkdir -p "$target/var/db/xbps/keys"
	cp /var/db/xbps/keys/* "$target/var/db/xbps/keys/"
}

VAI_install_base_system() {
	if [ -d /sys/firmware/efi ]; then
		set -- base-system grub grub-x86_64-efi
	else
		set -- base-system grub
	fi
	# shellcheck disable=SC2086
	XBPS_ARCH=$XBPS_ARCH xbps-install -Sy -R "$xbpsrepository" -r "$target" "$@" $pkgs
}

VAI_configure_sudo() { echo '%wheel ALL=(ALL:ALL) ALL' >"$target/etc/sudoers.d/00-wheel"; }
VAI_configure_hostname() { echo "$hostname" >"$target/etc/hostname"; }

VAI_configure_rc_conf() {
	[ "$keymap" = us ] || sed -i "s:\"es\":\"$keymap\":" "$target/etc/rc.conf"
	ln -s "/usr/share/zoneinfo/$timezone" "$target/etc/localtime"
}

VAI_prepare_chroot() {
	[ ! -d /sys/firmware/efi ] || mount -t efivarfs none /sys/firmware/efi/efivars
	mount -t proc proc "$target/proc"
	mount --rbind /sys "$target/sys"
	mount --rbind /dev "$target/dev"
}

VAI_correct_root_permissions() { chroot "$target" chmod 755 /; }

VAI_add_user() {
	if [ -z "$password" ]; then
		chroot "$target" passwd "$username" # asks at the console
	else
		echo "$username:$password" | chpasswd -R "$target"
	fi
}

VAI_configure_grub() {
	chroot "$target" grub-install "$disk"
	chroot "$target" update-grub
}

VAI_configure_fstab() {
	autoinstall_parts
	echo "UUID=$(blkid -s UUID -o value "$root_part") / ext4 defaults 0 1" >>"$target/etc/fstab"
}

VAI_configure_locale() {
	case $XBPS_ARCH in
	*-musl) ;;
	*) sed -i "/$libclocale/s/#//" "$target/etc/default/libc-locales" ;;
	esac
}

VAI_end_action() {
	case $end_action in
	reboot)
		umount -R "$target"
		reboot -f
		;;
	shutdown)
		umount -R "$target"
		poweroff -f
		;;
	func) end_function ;;
	script)
		xbps-uhelper fetch "$end_script>/script"
		chmod +x /script
		/script
		;;
	esac
}

autoinstall() {
	echo "autoinstaller: reading the configuration"
	dhclient
	disk=/dev/$(lsblk --json | jq -r '.blockdevices[0].name')
	hostname=localhost target=/mnt timezone=America/Chicago keymap=us libclocale=en_US.UTF-8
	username=voidlinux password='' pkgs='' end_action=shutdown end_script=''
	XBPS_ARCH=$(xbps-uhelper arch)
	xbpsrepository=https://repo-default.voidlinux.org/current
	xbps-uhelper fetch "$(autoinstall_word autourl)>/etc/autoinstall.cfg"
	# shellcheck source=/dev/null
	. ./etc/autoinstall.cfg
	[ -n "$disk" ]
	for autoinstall_phase in partition_disk format_disk mount_target install_xbps_keys install_base_system \
		configure_sudo configure_hostname configure_rc_conf prepare_chroot correct_root_permissions \
		add_user configure_grub configure_fstab configure_locale end_action; do
		echo "autoinstaller: $autoinstall_phase"
		"VAI_$autoinstall_phase"
	done
}

if autoinstall_word auto; then
	set -e
	autoinstall
	set +e
fi
