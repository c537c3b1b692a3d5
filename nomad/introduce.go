package nomad

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/nomad/api"
)

// MaxIntroduction is the longest life of an introduction token that servers
// grant by default; a longer one would be shortened without a word.
const MaxIntroduction = 30 * time.Minute

// Introduce asks for a token with which a client called node may join pool
// within ttl. The token is empty when the servers know no introduction (before
// Nomad 1.11): whoever reaches their RPC port with a certificate may then join.
func (c *Cluster) Introduce(ctx context.Context, node, pool string, ttl time.Duration) (token string, err error) {
	// The server clamps what is too long, and makes a token that never expires
	// out of a negative one.
	if ttl <= 0 || ttl > MaxIntroduction {
		return "", fmt.Errorf("introduce node %s: a life of %s is not between 0 and %s", node, ttl, MaxIntroduction)
	}
	err = c.call(ctx, "introduce node "+node, func(ctx context.Context) error {
		answer, _, err := c.api.ACLIdentity().CreateClientIntroductionToken(
			&api.ACLIdentityClientIntroductionTokenRequest{NodeName: node, NodePool: pool, TTL: ttl}, write(ctx))
		if notFound(err) {
			return nil
		}
		if err == nil {
			token = answer.JWT
		}
		return err
	})
	return token, err
}
