# shellcheck shell=sh
msg "Mounting pseudo-filesystems"
mountpoint_missing() { ! grep -q " $1 " /proc/self/mounts; }
[ -e /proc/self/mounts ] || mount -o nosuid,noexec,nodev -t proc proc /proc
mountpoint_missing /sys && mount -o nosuid,noexec,nodev -t sysfs sys /sys
mountpoint_missing /run && mount -o mode=0755,nosuid,nodev -t tmpfs run /run
mountpoint_missing /dev && mount -o mode=0755,nosuid -t devtmpfs dev /dev
mkdir -p /run/runit /run/lvm /run/lock /run/log /dev/pts /dev/shm
mountpoint_missing /dev/pts && mount -o mode=0620,gid=5,nosuid,noexec -t devpts devpts /dev/pts
mountpoint_missing /dev/shm && mount -o mode=1777,nosuid,nodev -t tmpfs shm /dev/shm
mkdir -p /sys/fs/cgroup && mountpoint_missing /sys/fs/cgroup && mount -o nosuid,noexec,nodev -t cgroup2 cgroup2 /sys/fs/cgroup
if [ -d /sys/firmware/efi/efivars ]; then
	modprobe -q efivarfs
	mount -o nosuid,noexec,nodev -t efivarfs efivarfs /sys/firmware/efi/efivars
fi
