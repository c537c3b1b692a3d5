# The configuration of void-mklive's autoinstaller on node1. The init of its NETBOOT
# image sources it, under "set -e", before anything is written to a disk. Init
# must not end, for the kernel would panic; and upstream must not choose a disk:
# for it there is none.
disk=''

mkdir -p /etc/provision || :

# What is asked of and told to the appliance is public; the answer is in a file.
provision_answer=/etc/provision/answer
provision_ask() {
	rm -f "$provision_answer"
	xbps-uhelper fetch 'http://10.77.0.1/autoinstall/52-54-00-12-34-56'"/$1>$provision_answer" >/dev/null 2>&1
}

provision_restart() {
	set +e
	while :; do
		sync
		reboot -f
		echo b >/proc/sysrq-trigger
		sleep 10
	done
}

# Never returns: a shell for whoever is at the console, whose end restarts the
# machine.
provision_stay() {
	set +e
	trap - 0
	echo "provision: NOT installed: $1"
	echo 'provision: here is a shell; its end restarts the machine'
	sh <>/dev/console >&0 2>&0
	sleep 15
	provision_restart
}

# Upstream's installer does the work, without provision's agent. What it would do
# wrong is set or replaced below. Its first write waits for the grant.
hostname='node1'
target=/mnt
timezone='Europe/Berlin'
libclocale='de_DE.UTF-8'
export XBPS_ARCH='x86_64'
end_action=func

provision_filesystem='xfs'
provision_esp='512'
provision_swap='4096'
provision_step=start
provision_errors=/etc/provision/errors

# The words that a URL has for a text.
provision_words() { jq -rn --arg text "$1" '$text | @uri'; }

# The nonce tells this boot from all others: the appliance accepts a repetition of
# this boot's request and of no other's.
provision_tell() {
	read -r provision_nonce </proc/sys/kernel/random/boot_id
	provision_ask "$1?nonce=$provision_nonce&$2"
}

provision_at() {
	provision_step=$1
	provision_tell step "step=$1" || :
}

# Runs a command; what it complains of is told to the appliance if it fails.
provision_run() { "$@" 2>"$provision_errors" || { cat "$provision_errors"; return 1; }; }

# Init's end would be a kernel panic.
provision_failed() {
	set +e
	trap - 0
	[ -r "$provision_errors" ] || true >"$provision_errors" # ":" would end the shell if it cannot
	provision_reason=$(jq -rRs '.[-1500:] | if . == "" then "a command failed; the console shows which" else . end | @uri' "$provision_errors")
	provision_tell failed "step=$provision_step&reason=$provision_reason"
	provision_stay "the install failed at step $provision_step"
}
trap provision_failed 0

provision_stop() {
	trap - 0
	provision_tell failed "step=$provision_step&reason=$(provision_words "$1")" || :
	provision_stay "$1"
}

# Whatever is replaced below must be what this image's autoinstaller calls.
for provision_function in partition_disk format_disk mount_target install_xbps_keys install_base_system \
	configure_sudo configure_rc_conf add_user configure_grub configure_fstab end_action; do
	command -v "VAI_$provision_function" >/dev/null ||
		provision_stop "the autoinstaller of this image has no VAI_$provision_function: make the image with another version of void-mklive"
done

# Chooses the disk by the role's rule. A rule that fits several, or none, and a
# disk with something of others on it, end here.
provision_choose() {
	lsblk -J -b -o NAME,TYPE,SIZE,MODEL,SERIAL,WWN,RO,RM,FSTYPE,MOUNTPOINT >/etc/provision/disks.json
	jq -r --arg kind 'smallest' --arg value '' --argjson over '100000000000' --argjson under '0' --argjson foreign 'false' '
		def text: if . == null then "" else tostring end;
		def yes: text | . == "true" or . == "1";
		def bytes: text | tonumber;
		def bare: text | ascii_downcase | ltrimstr("0x") | ltrimstr("naa.") | ltrimstr("eui.") | ltrimstr("uuid.");
		def id: if (.serial | text) != "" then .serial | text else .wwn | text end;
		def others:
			[recurse(.children[]?) |
				if (.mountpoint | text) != "" then "\(.name) is mounted on \(.mountpoint)"
				elif (.type | . != "disk" and . != "part") then "\(.name) (\(.type)) lies on it"
				elif (.fstype | text | endswith("_member") or (. as $f | ["crypto_LUKS", "BitLocker", "ceph_bluestore", "bcache", "drbd"] | index($f)))
				then "\(.fstype) on \(.name)"
				else empty end] | first // "";
		def used: [recurse(.children[]?) | select((.mountpoint | text) != "" or (.type | . != "disk" and . != "part"))] | length > 0;
		def line: "\(.name) \(.size) bytes \"\(.model | text)\" serial \"\(id)\"" + (others | if . == "" then "" else " (\(.))" end);
		def fits:
			if $kind == "serial" then id == $value or ((.wwn | bare) != "" and (.wwn | bare) == ($value | bare))
			elif $kind == "wwn" then (.wwn | bare) == ($value | bare)
			elif $kind == "model" then (.model | text) | test($value)
			else (.size | bytes) > $over and ($under == 0 or (.size | bytes) < $under) end;
		[.blockdevices[] | select(.type == "disk" and (.ro | yes | not) and (.rm | yes | not) and (.size | bytes) > 0
			and (.name | test("^(loop|ram|zram|nbd|sr|fd|md|dm-|mtdblock)|^mmcblk[0-9]+(boot|rpmb)") | not))] as $disks |
		($disks | map(select(fits)) | if length > 1 and ($kind == "smallest" or $kind == "largest")
			then (map(.size | bytes) | if $kind == "smallest" then min else max end) as $size | map(select((.size | bytes) == $size))
			else . end) as $found |
		def stop(why): "stop", "\(why); the disks are: \($disks | map(line) | join(", "))";
		if ($disks | length) == 0 then "stop", "the machine shows no disk"
		elif ($found | length) == 0 then stop("no disk fits the rule of the role")
		elif ($found | length) > 1 then stop("several disks fit the rule of the role")
		else $found[0] |
			if id == "" then stop("\(.name) has no serial and no WWN by which it could be recognised")
			elif ($disks | map(id) | indices([$found[0] | id]) | length) > 1 then stop("several disks share the serial \(id)")
			elif used then stop("\(.name) is in use: \(others)")
			elif others != "" and ($foreign | not) then stop("\(.name) carries data of something else (\(others)): look at it, then name its serial in provision reinstall --disk")
			else "take", .name, (if $kind == "serial" then $value else id end) end
		end' /etc/provision/disks.json >/etc/provision/disk
	{
		read -r provision_verdict
		IFS= read -r provision_disk
		IFS= read -r provision_serial || :
	} </etc/provision/disk
	[ "$provision_verdict" = take ] || provision_stop "$provision_disk"
}

# Partition number $1 of the disk: a letter comes between when the disk's own name
# ends in a digit.
provision_part() {
	case $disk in
	*[0-9]) echo "${disk}p$1" ;;
	*) echo "$disk$1" ;;
	esac
}

# The grant: once, for this machine and disk. Only now has upstream a disk.
provision_take() {
	read -r provision_uuid </sys/class/dmi/id/product_uuid || provision_uuid=''
	for provision_pause in 1 2 4 0; do
		if provision_tell take "uuid=$provision_uuid&disk=$(provision_words "$provision_serial")" &&
			read -r provision_word <"$provision_answer" && [ "$provision_word" = granted ]; then
			disk=/dev/$provision_disk
			return
		fi
		sleep "$provision_pause"
	done
	provision_stop 'the appliance gives no grant: provision host tells why'
}

VAI_partition_disk() {
	provision_take
	provision_at partition
	provision_root=$(provision_part 2)
	provision_swap_part=''
	if [ "$provision_swap" != 0 ]; then
		provision_swap_part=$provision_root
		provision_root=$(provision_part 3)
	fi
	{
		echo 'label: gpt'
		if [ -d /sys/firmware/efi ]; then
			echo "size=${provision_esp}MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
		else
			echo 'size=1MiB, type=21686148-6449-6E6F-744E-656564454649'
		fi
		if [ -n "$provision_swap_part" ]; then
			echo "size=${provision_swap}MiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
		fi
		echo 'type=0FC63DAF-8483-4772-8E79-3D69D8477DE4'
	} >/etc/provision/layout
	# Signatures of what was there go, or they would come to life again.
	provision_run sfdisk --wipe always --wipe-partitions always "$disk" </etc/provision/layout
	udevadm settle
}

VAI_format_disk() {
	provision_at filesystems
	if [ -d /sys/firmware/efi ]; then
		provision_run mkfs.vfat -F 32 "$(provision_part 1)"
	fi
	if [ -n "$provision_swap_part" ]; then
		provision_run mkswap "$provision_swap_part"
	fi
	provision_run 'mkfs.xfs' '-f' '-q' '-L' 'root' "$provision_root"
}

VAI_mount_target() {
	mkdir -p "$target"
	provision_run mount "$provision_root" "$target"
	if [ -d /sys/firmware/efi ]; then
		mkdir -p "$target/boot/efi"
		provision_run mount "$(provision_part 1)" "$target/boot/efi"
	fi
}

# Writes files: PATH MODE CONTENT and so on.
provision_files() {
	while [ $# -ge 3 ]; do
		mkdir -p "$target${1%/*}"
		rm -f "$target$1"
		printf %s "$3" >"$target$1"
		chmod "$2" "$target$1"
		shift 3
	done
}

VAI_install_xbps_keys() { provision_files '/var/db/xbps/keys/60:ae.plist' '0644' '<plist>it'\''s a key</plist>
'; }

VAI_install_base_system() {
	provision_at packages
	set -- 'base-system' 'xfsprogs' 'chrony'
	if [ -d /sys/firmware/efi ]; then
		set -- grub-x86_64-efi "$@"
	else
		set -- grub "$@"
	fi
	for provision_pause in 2 8 30 0; do
		if provision_run xbps-install -Sy -i '-R' 'http://10.77.0.1/void/current' '-R' 'http://10.77.0.1/void/current/nonfree' -r "$target" "$@"; then
			return
		fi
		sleep "$provision_pause"
	done
	return 1
}

VAI_configure_sudo() { :; } # among the files below

VAI_configure_rc_conf() {
	printf %s 'TIMEZONE='\''Europe/Berlin'\''
KEYMAP='\''de'\''
' >>"$target/etc/rc.conf"
	[ -z "$timezone" ] || ln -sf "/usr/share/zoneinfo/$timezone" "$target/etc/localtime"
}

VAI_add_user() {
	provision_at users
	chroot "$target" usermod -p '!' root
	set -- 'op' '/bin/bash' 'wheel,users' 'ssh-ed25519 AAAA op'\''s key
'
	while [ $# -ge 4 ]; do # NAME SHELL GROUPS KEYS
		chroot "$target" useradd -m -U -s "$2" "$1"
		[ -z "$3" ] || chroot "$target" usermod -a -G "$3" "$1"
		chroot "$target" usermod -p '*' "$1" # no password, and yet no locked account
		provision_files "/home/$1/.ssh/authorized_keys" 0600 "$4"
		chmod 0700 "$target/home/$1" "$target/home/$1/.ssh"
		chroot "$target" chown -R "$1:$1" "/home/$1"
		shift 4
	done
}

VAI_configure_grub() {
	provision_files '/etc/hosts' '0644' '127.0.0.1	localhost
::1	localhost
127.0.1.1	node1
' '/etc/locale.conf' '0644' 'LANG='\''de_DE.UTF-8'\''
' '/etc/sudoers.d/wheel' '0440' '%wheel ALL=(ALL:ALL) NOPASSWD: ALL
' '/etc/motd' '0644' 'it'\''s ours
' '/usr/local/bin/x' '0755' '#!/bin/sh
'
	set -- 'dhcpcd' 'sshd' 'chronyd' 'agetty-ttyS0'
	for provision_service in "$@"; do
		if [ ! -d "$target/etc/sv/$provision_service" ]; then
			echo "no installed package has the service $provision_service" >"$provision_errors"
			return 1
		fi
		ln -sf "/etc/sv/$provision_service" "$target/etc/runit/runsvdir/default/$provision_service"
	done
	provision_at bootloader
	printf %s 'GRUB_TIMEOUT='\''1'\''
GRUB_DISTRIBUTOR='\''Void'\''
GRUB_CMDLINE_LINUX_DEFAULT='\''console=ttyS0,115200 loglevel=4'\''
GRUB_TERMINAL_INPUT='\''console serial'\''
GRUB_TERMINAL_OUTPUT='\''console serial'\''
GRUB_SERIAL_COMMAND='\''serial --unit=0 --speed=115200'\''
' >>"$target/etc/default/grub"
	if [ -d /sys/firmware/efi ]; then
		# The network stays first in the firmware's order; the disk is found by the path
		# that needs no entry.
		provision_run chroot "$target" grub-install --target=x86_64-efi --efi-directory=/boot/efi --bootloader-id=Void --no-nvram
		mkdir -p "$target/boot/efi/EFI/BOOT"
		cp "$target/boot/efi/EFI/Void/grubx64.efi" "$target/boot/efi/EFI/BOOT/BOOTX64.EFI"
	else
		provision_run chroot "$target" grub-install --target=i386-pc "$disk"
	fi
	provision_run chroot "$target" xbps-reconfigure -fa
	provision_run chroot "$target" update-grub
}

# provision_mounts DEVICE DIRECTORY TYPE OPTIONS CHECK
provision_mounts() {
	provision_id=$(blkid -s UUID -o value "$1")
	printf 'UUID=%s %s %s %s 0 %s\n' "$provision_id" "$2" "$3" "$4" "$5"
}

VAI_configure_fstab() {
	{
		provision_mounts "$provision_root" / "$provision_filesystem" defaults 1
		if [ -d /sys/firmware/efi ]; then
			provision_mounts "$(provision_part 1)" /boot/efi vfat defaults,umask=0077 2
		fi
		if [ -n "$provision_swap_part" ]; then
			provision_mounts "$provision_swap_part" none swap defaults 0
		fi
		echo 'tmpfs /tmp tmpfs defaults,nosuid,nodev 0 0'
	} >"$target/etc/fstab"
}

# What upstream calls at the end.
end_function() {
	provision_at unmount
	sync
	umount -R "$target"
	for provision_pause in 1 2 4 8 16 0; do
		if provision_tell "done" ''; then
			break
		fi
		sleep "$provision_pause"
	done
	echo 'provision: installed; the machine restarts'
	provision_restart
}

# Upstream wants a disk now, and gets it with the grant.
provision_step=disk
provision_choose
disk=/dev/waits-for-the-grant
