package dhcp

import "sync/atomic"

// count is one thing that is counted.
type count int

const (
	received count = iota
	malformed
	oversized
	strayed
	notForUs
	noNetwork
	unhandled
	silent
	waiting
	overflowed
	exhausted
	behind
	offers
	acks
	naks
	declines
	releases
	informs
	withdrawals
	proxied
	commits
	commitErrors
	readErrors
	sendErrors
	probes
	probeErrors
	conflicts
	advertisements
	counts
)

// The words under which Server.Counters reports. They are part of the API:
// dashboards refer to them.
var countNames = [counts]string{
	received:       "received",
	malformed:      "dropped_malformed",       // not DHCP, truncated, or self-contradicting
	oversized:      "dropped_oversized",       // longer than any Ethernet frame
	strayed:        "dropped_spoofed",         // an address that cannot be the sender's, or an unknown relay
	notForUs:       "ignored_not_for_us",      // replies, other hardware, clients that a proxy does not serve
	noNetwork:      "dropped_no_network",      // came in where no network is configured
	unhandled:      "ignored_type",            // a message type that a server does not answer
	silent:         "ignored_unknown_lease",   // another server may know it
	waiting:        "parked_for_probe",        // answered once an address is verified
	overflowed:     "dropped_too_many_parked", // more wait for a probe than are remembered
	exhausted:      "dropped_pool_exhausted",  // no address left
	behind:         "dropped_disk_behind",     // too many leases wait for the disk
	offers:         "sent_offers",             // by a full server
	acks:           "sent_acks",               // with a lease that is durable
	naks:           "sent_naks",
	declines:       "declines", // addresses quarantined by clients
	releases:       "releases",
	informs:        "sent_informs",              // options without a lease
	withdrawals:    "offers_declined_by_client", // the client chose another server
	proxied:        "sent_boot_replies",         // proxy offers, and answers on port 4011
	commits:        "lease_commits",             // group commits, not leases
	commitErrors:   "lease_commit_errors",
	readErrors:     "read_errors",
	sendErrors:     "send_errors",
	probes:         "probes", // addresses, not frames
	probeErrors:    "probe_errors",
	conflicts:      "conflicts",             // pool addresses found in use by somebody else
	advertisements: "router_advertisements", // answers to IPv6 router solicitations
}

// counters may be used by many goroutines.
type counters [counts]atomic.Uint64

func (c *counters) add(what count) { c[what].Add(1) }

func (c *counters) snapshot() map[string]uint64 {
	m := make(map[string]uint64, counts)
	for i := range c {
		m[countNames[i]] = c[i].Load()
	}
	return m
}
