# shellcheck shell=sh
msg "Unmounting file systems"
swapoff -a
umount -a -r -t nosysfs,noproc,nodevtmpfs,notmpfs
mount -o remount,ro /
sync
