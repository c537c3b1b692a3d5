package images

// LimitRootfs sets the limit of a ROOTFS tarball and returns what sets it back.
func LimitRootfs(n int64) (restore func()) {
	old := maxRootfs
	maxRootfs = n
	return func() { maxRootfs = old }
}

// LimitNetboot sets the limits of a NETBOOT tarball and of its initrd, and
// returns what sets them back.
func LimitNetboot(tarball, initrd int64) (restore func()) {
	oldTarball, oldInitrd := maxNetboot, maxInitrd
	maxNetboot, maxInitrd = tarball, initrd
	return func() { maxNetboot, maxInitrd = oldTarball, oldInitrd }
}

// LimitMemory sets the limit of an image and returns what sets it back.
func LimitMemory(n int64) (restore func()) {
	old := maxMemory
	maxMemory = n
	return func() { maxMemory = old }
}
