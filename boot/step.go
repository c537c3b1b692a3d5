package boot

import (
	"fmt"
	"time"

	"provision.internal/host"
)

// Step is what a machine does next.
type Step string

// The steps.
const (
	// Disk: boot from your own disk. The answer to everyone whom nothing else
	// is meant for.
	Disk Step = "disk"
	// Install: run the installer. Only an admitted host with an open grant.
	Install Step = "install"
	// Wait: ask again, with a new address. An admitted host whose port is about to
	// be moved, and with it the network that it is in.
	Wait Step = "wait"
)

// Next decides for client c, which the store knows as h, at now; the reason is
// for the log and for operators. A zero h is an unknown host. Whatever is not
// plainly an install is Disk: an unknown host, a settled one, an expired or burned grant,
// and a machine whose UUID is not the known one.
func Next(c Client, h host.Host, now time.Time) (Step, string) {
	switch {
	case h.State == "":
		return Disk, "not known; admit it with provision enroll"
	case h.State != host.Admitted:
		return Disk, "the host is " + string(h.State)
	case c.MAC != h.MAC:
		return Disk, "the host has another MAC address"
	case !h.UUID.Fits(c.UUID):
		return Disk, fmt.Sprintf("its UUID is %s, known is %s", c.UUID, h.UUID)
	case h.Grant == nil:
		return Disk, "no grant was made"
	case !h.Grant.Open(now):
		return Disk, "its grant is used or has expired; make one with provision reinstall"
	case !h.InPlace():
		return Wait, "its port does not serve the installation yet: " + h.Progress.Text
	case c.Platform == Unknown:
		return Disk, fmt.Sprintf("no boot file for architecture %d", c.Arch)
	}
	return Install, "admitted with an open grant"
}
