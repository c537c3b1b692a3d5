package web_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"provision.internal/router"
	"provision.internal/router/commit"
	"provision.internal/router/ros"
	"provision.internal/web"
)

// switchboard is a router that does what it is told to answer.
type switchboard struct {
	plan    router.Plan
	commit  commit.Commit
	err     error
	asked   commit.Options
	by      string
	entered chan struct{} // closed when Apply has begun; it waits for the end of its context then
	left    chan error
}

func (s *switchboard) Plan(_ context.Context, o router.Options) (router.Plan, error) {
	s.asked.Options = o
	return s.plan, s.err
}

func (s *switchboard) Apply(ctx context.Context, o commit.Options, step func(commit.Step)) (commit.Commit, error) {
	s.asked = o
	step(commit.Step{Text: "one", Done: 0, Total: 1})
	if s.entered != nil {
		close(s.entered)
		<-ctx.Done()
		s.left <- ctx.Err()
	}
	return s.commit, s.err
}

func (s *switchboard) Confirm(_ context.Context, by string) (commit.Commit, error) {
	s.by = by
	return s.commit, s.err
}

func (s *switchboard) Rollback(ctx context.Context, by string) (commit.Commit, error) {
	return s.Confirm(ctx, by)
}

func (s *switchboard) Bootstrap(_ context.Context, req web.Bootstrap, by string, step func(commit.Step)) (commit.Commit, error) {
	s.by = by
	step(commit.Step{Text: fmt.Sprint(req.Certificate, req.Trust, req.Anew, req.SkipBGP)})
	return s.commit, s.err
}

func (s *switchboard) Status(context.Context) (commit.Status, error) {
	return commit.Status{Router: "192.0.2.1:8729", Last: &s.commit}, s.err
}

func (s *switchboard) History() ([]commit.Commit, error) { return []commit.Commit{s.commit}, s.err }

func wired(t *testing.T, s *switchboard) appliance {
	t.Helper()
	return start(t, t.TempDir(), func(srv *web.Server) { srv.Router = s })
}

func TestRouterPlanAndApply(t *testing.T) {
	s := &switchboard{
		plan:   router.Plan{Operations: []router.Operation{{Kind: router.Add, Menu: "/interface/vlan", Key: "vlan/lan0"}}},
		commit: commit.Commit{ID: "c1", Outcome: commit.Confirmed},
	}
	a := wired(t, s)
	plan, err := a.PlanRouter(t.Context(), web.PlanRouter{Prune: []string{"/ip/address/*1"}})
	if err != nil || len(plan.Operations) != 1 || plan.Operations[0].Key != "vlan/lan0" || !slices.Equal(s.asked.Prune, []string{"/ip/address/*1"}) {
		t.Errorf("PlanRouter = %+v, %v; asked %+v", plan, err, s.asked)
	}
	var steps []commit.Step
	c, err := a.ApplyRouter(t.Context(), web.ApplyRouter{ConfirmWithin: time.Minute, SkipBGP: true}, func(st commit.Step) { steps = append(steps, st) })
	if err != nil || c.ID != "c1" || c.Outcome != commit.Confirmed {
		t.Errorf("ApplyRouter = %+v, %v", c, err)
	}
	if want := []commit.Step{{Text: "one", Total: 1}}; !slices.Equal(steps, want) {
		t.Errorf("steps %+v, want %+v", steps, want)
	}
	if s.asked.ConfirmWithin != time.Minute || !s.asked.SkipBGP || s.asked.By == "" {
		t.Errorf("the router was asked %+v", s.asked)
	}
	if _, err := a.ApplyRouter(t.Context(), web.ApplyRouter{ConfirmWithin: -1}, func(commit.Step) {}); !hasCode(err, web.CodeInvalid) {
		t.Errorf("a negative time to confirm: %v", err)
	}
}

// Whoever ends the command must not leave a half-changed router.
func TestApplyEndsWithItsClient(t *testing.T) {
	s := &switchboard{entered: make(chan struct{}), left: make(chan error, 1)}
	a := wired(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-s.entered
		cancel()
	}()
	if _, err := a.ApplyRouter(ctx, web.ApplyRouter{}, func(commit.Step) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("ApplyRouter = %v, want it cancelled", err)
	}
	select {
	case <-s.left:
	case <-time.After(10 * time.Second):
		t.Error("the router was not told that its client has gone")
	}
}

// A refusal comes with the commit that it is about, and programs can tell what
// it means.
func TestRouterRefusals(t *testing.T) {
	for _, c := range []struct {
		err  error
		code web.Code
	}{
		{fmt.Errorf("x: %w", commit.ErrRolledBack), web.CodeRolledBack},
		{fmt.Errorf("%w: %w", commit.ErrUnknown, ros.ErrNoRoute), web.CodeOutcome},
		{ros.ErrLogin, web.CodeLogin},
		{ros.ErrPin, web.CodeCertificate},
		{ros.ErrNoRoute, web.CodeNoRouter},
		{commit.ErrVersion, web.CodeUnfit},
		{commit.ErrScheduler, web.CodeUnfit},
		{commit.ErrPending, web.CodeState},
		{commit.ErrRefused, web.CodeConflict},
		{errors.New("anything"), web.CodeInternal},
	} {
		s := &switchboard{err: c.err, commit: commit.Commit{ID: "c1", Outcome: commit.RolledBack}}
		a := wired(t, s)
		got, err := a.ApplyRouter(t.Context(), web.ApplyRouter{}, func(commit.Step) {})
		if !hasCode(err, c.code) || got.ID != "c1" {
			t.Errorf("Apply with %v = %+v, %v; want the commit and code %s", c.err, got, err, c.code)
		}
		if _, err := a.PlanRouter(t.Context(), web.PlanRouter{}); !hasCode(err, c.code) {
			t.Errorf("Plan with %v: %v, want code %s", c.err, err, c.code)
		}
		st, err := a.RouterStatus(t.Context())
		if err != nil || st.Error != c.err.Error() || st.Last == nil {
			t.Errorf("Status with %v = %+v, %v; want what is known beside the error", c.err, st, err)
		}
	}
}

func TestConfirmAndRollback(t *testing.T) {
	s := &switchboard{commit: commit.Commit{ID: "c1", Outcome: commit.RolledBack}}
	a := wired(t, s)
	for name, settle := range map[string]func(context.Context) (commit.Commit, error){"confirm": a.ConfirmRouter, "rollback": a.RollbackRouter} {
		s.by = ""
		if c, err := settle(t.Context()); err != nil || c.ID != "c1" || s.by == "" {
			t.Errorf("%s = %+v, %v; by %q", name, c, err, s.by)
		}
	}
	all, err := a.RouterHistory(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != "c1" {
		t.Errorf("RouterHistory = %+v, %v", all, err)
	}
}

func TestBootstrapOverTheSocket(t *testing.T) {
	s := &switchboard{commit: commit.Commit{ID: "c1", Outcome: commit.Confirmed}}
	a := wired(t, s)
	req := web.Bootstrap{Certificate: ros.Pin{1, 2, 3}, Trust: true, SkipBGP: true}
	var told string
	c, err := a.BootstrapRouter(t.Context(), req, func(st commit.Step) { told = st.Text })
	if want := fmt.Sprint(req.Certificate, true, false, true); err != nil || c.ID != "c1" || told != want || s.by == "" {
		t.Errorf("BootstrapRouter = %+v, %v; by %q, the router was told %q, want %q", c, err, s.by, told, want)
	}
}

func TestNoRouter(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	if _, err := a.PlanRouter(t.Context(), web.PlanRouter{}); !hasCode(err, web.CodeState) {
		t.Errorf("PlanRouter without a router: %v", err)
	}
	if _, err := a.RouterStatus(t.Context()); !hasCode(err, web.CodeState) {
		t.Errorf("RouterStatus without a router: %v", err)
	}
}

func hasCode(err error, code web.Code) bool {
	var refused *web.Error
	return errors.As(err, &refused) && refused.Code == code
}
