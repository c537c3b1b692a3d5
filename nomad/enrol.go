package nomad

import (
	"context"
	"time"
)

// introductionLife covers the time from a host's first boot to its client's
// first registration, with the client's own retries.
const introductionLife = 15 * time.Minute

// Enrol prepares the cluster for h and returns the files that its client needs:
// stale records are purged, but not the node of a host that merely asks again or
// leaves quarantine, and an introduction token for its pool is made where the
// configuration asks for it. previous is the node ID of the host's former
// installation, if any.
func (c *Cluster) Enrol(ctx context.Context, h Client, previous string) ([]File, error) {
	if !h.Again {
		if err := c.PurgeStale(ctx, h.Name, previous); err != nil {
			return nil, err
		}
	}
	if c.cfg.Introduction {
		var err error
		h.Token, err = c.Introduce(ctx, h.Name, c.cfg.poolOf(h), introductionLife)
		if err != nil {
			return nil, err
		}
	}
	return c.cfg.ClientConfig(h)
}
