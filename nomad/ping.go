package nomad

import (
	"context"
	"time"

	"github.com/hashicorp/nomad/api"
)

// Ping reports, within a few seconds, whether the cluster has a leader and
// accepts the appliance's token. It returns the leader's address.
func (c *Cluster) Ping(ctx context.Context) (leader string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = c.call(ctx, "ask "+c.cfg.Address+" for its leader", func(ctx context.Context) error {
		_, err := c.api.Raw().Query("/v1/status/leader", &leader, query(ctx))
		return err
	})
	if err != nil || !c.acl {
		return leader, err
	}
	return leader, c.call(ctx, "look up the token", func(ctx context.Context) error {
		var token api.ACLToken
		_, err := c.api.Raw().Query("/v1/acl/token/self", &token, query(ctx))
		return err
	})
}
