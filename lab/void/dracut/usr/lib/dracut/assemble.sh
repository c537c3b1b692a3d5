# shellcheck shell=sh
# Sourced by the initramfs: puts together what the root lies on, as the words
# rd.md.uuid= and rd.luks.uuid= of the kernel command line say.
export PATH=/bin:/usr/bin MDADM_NO_UDEV=1 DM_DISABLE_UDEV=1
while read -r module; do
	insmod "/added/$module" 2>/dev/null
done </added/modules

arrays='' encrypted=''
# shellcheck disable=SC2154 # the initramfs has read it
for word in $cmdline; do
	case $word in
	rd.md.uuid=*) arrays="$arrays ${word#rd.md.uuid=}" ;;
	rd.luks.uuid=*) word=${word#rd.luks.uuid=} encrypted="$encrypted ${word#luks-}" ;;
	esac
done

# assemble TRY: an array that lacks a disk is started when waiting was in vain.
assemble() {
	if [ -n "$arrays" ]; then
		if [ "$1" -lt 30 ]; then
			mdadm --assemble --scan --no-degraded --config=/added/mdadm.conf 2>/dev/null
		else
			# What waiting has left is put together, but not started.
			sed -n 's/^\(md[^ ]*\) : inactive.*/\1/p' /proc/mdstat | while read -r md; do
				mdadm --run "/dev/$md"
			done
			mdadm --assemble --scan --run --config=/added/mdadm.conf 2>/dev/null
		fi
	fi
	for uuid in $encrypted; do
		[ -b "/dev/mapper/luks-$uuid" ] && continue
		device=$(findfs "UUID=$uuid" 2>/dev/null) || continue
		until cryptsetup open --type=luks2 --tries=1 "$device" "luks-$uuid"; do
			echo "initramfs: that did not open $device"
			sleep 1
		done
	done
}
