package web

import (
	"context"
	"net/http"

	"provision.internal/cluster"
)

// FoundCluster asks that the cluster be founded and calls step with what that
// waits for. The founding goes on when ctx ends.
func (c *Client) FoundCluster(ctx context.Context, req Found, step func(FoundStep)) (cluster.Status, error) {
	return longCall[FoundStep, cluster.Status](ctx, c, pathClusterInit, req, step)
}

// ClusterStatus asks how the cluster is.
func (c *Client) ClusterStatus(ctx context.Context) (st cluster.Status, err error) {
	return st, c.call(ctx, http.MethodGet, pathCluster, nil, &st)
}

// PlanCluster asks what ApplyCluster would change.
func (c *Client) PlanCluster(ctx context.Context) (plan cluster.Plan, err error) {
	return plan, c.call(ctx, http.MethodGet, pathClusterPlan, nil, &plan)
}

// ApplyCluster makes policies and pools as declared, and returns what was done.
func (c *Client) ApplyCluster(ctx context.Context, req ApplyCluster) (plan cluster.Plan, err error) {
	return plan, c.call(ctx, http.MethodPost, pathClusterApply, req, &plan)
}

// ManagementToken returns the cluster's management token. That it was shown is
// recorded.
func (c *Client) ManagementToken(ctx context.Context) (t ManagementToken, err error) {
	return t, c.call(ctx, http.MethodPost, pathClusterSecret, struct{}{}, &t)
}
