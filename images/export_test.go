package images

// LimitRootfs sets the limit of a ROOTFS tarball and returns what sets it back.
func LimitRootfs(n int64) (restore func()) {
	old := maxRootfs
	maxRootfs = n
	return func() { maxRootfs = old }
}
