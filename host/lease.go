package host

import (
	"net/netip"
	"time"
)

// Lease binds one address to one host. A reservation is a lease of the
// configuration and never stored.
type Lease struct {
	MAC      MAC        `json:"mac"`
	Address  netip.Addr `json:"address"`
	Expires  time.Time  `json:"expires"`            // zero: released
	Declined bool       `json:"declined,omitempty"` // in use by somebody else: quarantined until Expires
}
