package web

import (
	"context"
	"net/http"

	"provision.internal/router"
	"provision.internal/router/commit"
)

// PlanRouter asks what would change on the router.
func (c *Client) PlanRouter(ctx context.Context, req PlanRouter) (plan router.Plan, err error) {
	return plan, c.call(ctx, http.MethodPost, pathRouterPlan, req, &plan)
}

// ApplyRouter changes the router, and calls step with what is going on. The
// commit may come with an error, which tells why it is not confirmed; it has no
// ID when nothing was begun. When ctx ends, the router goes back.
func (c *Client) ApplyRouter(ctx context.Context, req ApplyRouter, step func(commit.Step)) (commit.Commit, error) {
	return longCall[commit.Step, commit.Commit](ctx, c, pathRouterApply, req, step)
}

// ConfirmRouter makes the commit that waits final.
func (c *Client) ConfirmRouter(ctx context.Context) (commit.Commit, error) {
	return longCall[commit.Step, commit.Commit](ctx, c, pathRouterConfirm, struct{}{}, func(commit.Step) {})
}

// RollbackRouter takes the commit that waits back.
func (c *Client) RollbackRouter(ctx context.Context) (commit.Commit, error) {
	return longCall[commit.Step, commit.Commit](ctx, c, pathRouterRollback, struct{}{}, func(commit.Step) {})
}

// RouterStatus reads the router.
func (c *Client) RouterStatus(ctx context.Context) (status commit.Status, err error) {
	return status, c.call(ctx, http.MethodGet, pathRouter, nil, &status)
}

// RouterHistory lists the commits, the newest first.
func (c *Client) RouterHistory(ctx context.Context) (all []commit.Commit, err error) {
	return all, c.call(ctx, http.MethodGet, pathRouterHistory, nil, &all)
}

// BootstrapRouter takes the router over, and calls step with what is going on.
func (c *Client) BootstrapRouter(ctx context.Context, req Bootstrap, step func(commit.Step)) (commit.Commit, error) {
	return longCall[commit.Step, commit.Commit](ctx, c, pathBootstrap, req, step)
}
