# shellcheck shell=sh
msg "Loading drivers for the hardware"
for bus in pci virtio usb scsi; do
	cat /sys/bus/"$bus"/devices/*/modalias 2>/dev/null | sort -u | xargs modprobe -a -b -q 2>/dev/null
done
