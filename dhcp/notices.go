package dhcp

import (
	"time"

	"provision.internal/host"
)

// Events are kept for ever, and anybody can send packets from any number of
// hardware addresses: so a host gets one notice an hour, and all hosts
// together a bounded number.
const (
	noticeEvery = time.Hour
	maxNotices  = 256
)

type notices struct {
	since time.Time
	told  map[host.MAC]bool
}

// allow reports whether a notice about mac may be made at now.
func (n *notices) allow(mac host.MAC, now time.Time) bool {
	if n.told == nil || now.Sub(n.since) >= noticeEvery {
		n.since, n.told = now, map[host.MAC]bool{}
	}
	if n.told[mac] || len(n.told) >= maxNotices {
		return false
	}
	n.told[mac] = true
	return true
}
