#!/bin/busybox sh
# shellcheck shell=dash
# Init of the rack's NETBOOT image: what dracut does before the autoinstaller runs,
# and nothing after it.
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /run /etc /mnt
# No program may be started from here, as with dracut.
mount -o mode=0755,nosuid,nodev,noexec -t tmpfs run /run
trap 'echo "init: the autoinstaller has ended it"; sleep 5' 0

# The drivers for what is there, bus after bus: one brings the next.
for pause in 0.1 0.1 0; do
	for bus in pci virtio scsi; do
		cat /sys/bus/"$bus"/devices/*/modalias 2>/dev/null | sort -u | xargs modprobe -a -b -q 2>/dev/null
	done
	sleep "$pause"
done

. /usr/lib/autoinstaller.sh
echo "init: there is no system to start" # and init ends
