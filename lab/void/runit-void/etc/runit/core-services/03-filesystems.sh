msg "Checking and mounting the file systems"
root=$(findmnt -n -o SOURCE /)
fsck -p "$root" || [ $? -le 1 ] || msg_warn "the root file system has faults"
mount -o remount,rw / || msg_warn "cannot write to the root file system"
swapon -a
mount -a -t noproc,nosysfs || msg_warn "a file system of /etc/fstab is missing"
