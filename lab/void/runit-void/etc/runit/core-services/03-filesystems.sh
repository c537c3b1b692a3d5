# shellcheck shell=sh
if [ -e /etc/crypttab ]; then
	msg "Activating encrypted devices"
	while read -r name source key _; do
		DM_DISABLE_UDEV=1 cryptsetup luksOpen -d "$key" "$(findfs "$source")" "$name"
	done </etc/crypttab
fi
msg "Checking and mounting the file systems"
read -r root fstype <<EOF
$(findmnt -n -o SOURCE,FSTYPE /)
EOF
if [ -x "/usr/bin/fsck.$fstype" ]; then
	"fsck.$fstype" -p "$root" || [ $? -le 1 ] || msg_warn "the root file system has faults"
fi
mount -o remount,rw / || msg_warn "cannot write to the root file system"
swapon -a
mount -a -t noproc,nosysfs || msg_warn "a file system of /etc/fstab is missing"
