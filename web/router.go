package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"provision.internal/router"
	"provision.internal/router/commit"
	"provision.internal/router/ros"
)

// Router is the rack's router as the operators' requests need it.
type Router interface {
	Plan(context.Context, router.Options) (router.Plan, error)
	Apply(context.Context, commit.Options, func(commit.Step)) (commit.Commit, error)
	Confirm(ctx context.Context, by string) (commit.Commit, error)
	Rollback(ctx context.Context, by string) (commit.Commit, error)
	Status(context.Context) (commit.Status, error)
	History() ([]commit.Commit, error)
	// Bootstrap takes a router over that has just run its first script.
	Bootstrap(ctx context.Context, req Bootstrap, by string, tell func(commit.Step)) (commit.Commit, error)
}

// Bootstrap asks to take the router over.
type Bootstrap struct {
	Certificate ros.Pin `json:"certificate,omitzero"` // that the operator has read from the router
	Trust       bool    `json:"trust,omitempty"`      // whatever certificate it shows
	Anew        bool    `json:"anew,omitempty"`       // it was reset, and has another one than the kept
	SkipBGP     bool    `json:"skip_bgp,omitempty"`
}

// PlanRouter asks what an Apply would change.
type PlanRouter struct {
	Prune []string `json:"prune,omitempty"` // foreign rows to remove: MENU/NAME, MENU/*ID, or MENU
	Adopt []string `json:"adopt,omitempty"` // foreign rows to take over
}

func (p PlanRouter) options() router.Options {
	return router.Options{Prune: p.Prune, Adopt: p.Adopt}
}

// ApplyRouter asks to change the router.
type ApplyRouter struct {
	PlanRouter
	ConfirmWithin time.Duration `json:"confirm_within,omitempty"` // ns; 0 confirms when the checks pass
	SkipBGP       bool          `json:"skip_bgp,omitempty"`
	Seen          string        `json:"seen,omitempty"` // fingerprint of the plan that the operator agreed to
}

// Paths of the router.
const (
	pathRouter         = "/v1/router"
	pathRouterPlan     = "/v1/router/plan"
	pathRouterApply    = "/v1/router/apply"
	pathRouterConfirm  = "/v1/router/confirm"
	pathRouterRollback = "/v1/router/rollback"
	pathRouterHistory  = "/v1/router/history"
	pathBootstrap      = "/v1/router/bootstrap"
)

// maxConfirmWithin bounds how long a commit holds everything else up.
const maxConfirmWithin = 24 * time.Hour

// errNoRouter refuses what needs a router.
var errNoRouter = &Error{Code: CodeState, Message: "the configuration has no router section, or router: none: there is no router to change"}

// routerCodes are the refusals that a router, or what it was told, is the
// reason of. They come before those of codes.
var routerCodes = []refusal{
	{commit.ErrUnknown, CodeOutcome, http.StatusInternalServerError},
	{commit.ErrRolledBack, CodeRolledBack, http.StatusConflict},
	{ros.ErrLogin, CodeLogin, http.StatusBadGateway},
	{ros.ErrPin, CodeCertificate, http.StatusBadGateway},
	{commit.ErrVersion, CodeUnfit, http.StatusConflict},
	{commit.ErrScheduler, CodeUnfit, http.StatusConflict},
	{ros.ErrPermission, CodeLogin, http.StatusBadGateway},
	{ros.ErrNoRoute, CodeNoRouter, http.StatusBadGateway},
	{ros.ErrTLS, CodeNoRouter, http.StatusBadGateway},
	{commit.ErrRefused, CodeConflict, http.StatusConflict},
	{commit.ErrPending, CodeState, http.StatusConflict},
	{commit.ErrElsewhere, CodeState, http.StatusConflict},
	{commit.ErrSafeMode, CodeState, http.StatusConflict},
	{commit.ErrNothingPending, CodeState, http.StatusConflict},
	{commit.ErrStopped, CodeState, http.StatusConflict},
}

func (s *Server) router() (Router, error) {
	if s.Router == nil {
		return nil, errNoRouter
	}
	return s.Router, nil
}

func (s *Server) planRouter(w http.ResponseWriter, r *http.Request) error {
	var req PlanRouter
	if err := decode(r, &req); err != nil {
		return err
	}
	rt, err := s.router()
	if err != nil {
		return err
	}
	plan, err := rt.Plan(r.Context(), req.options())
	if err != nil {
		return err
	}
	return answer(w, plan)
}

// applyRouter ends with the commit even where that did not succeed. A client
// that hangs up takes the change back.
func (s *Server) applyRouter(w http.ResponseWriter, r *http.Request) error {
	var req ApplyRouter
	if err := decode(r, &req); err != nil {
		return err
	}
	if req.ConfirmWithin < 0 || req.ConfirmWithin > maxConfirmWithin {
		return fmt.Errorf("%w: to confirm within %s: want at most %s", ErrInvalid, req.ConfirmWithin, maxConfirmWithin)
	}
	rt, err := s.router()
	if err != nil {
		return err
	}
	return long(s, w, r, func(step func(commit.Step)) (*commit.Commit, error) {
		c, err := rt.Apply(r.Context(), commit.Options{
			Options: req.options(), By: actor(r), ConfirmWithin: req.ConfirmWithin, SkipBGP: req.SkipBGP, Seen: req.Seen,
		}, step)
		return commitOf(c, err)
	})
}

func (s *Server) bootstrapRouter(w http.ResponseWriter, r *http.Request) error {
	var req Bootstrap
	if err := decode(r, &req); err != nil {
		return err
	}
	rt, err := s.router()
	if err != nil {
		return err
	}
	return long(s, w, r, func(step func(commit.Step)) (*commit.Commit, error) {
		return commitOf(rt.Bootstrap(r.Context(), req, actor(r), step))
	})
}

// commitOf is no commit where none was begun.
func commitOf(c commit.Commit, err error) (*commit.Commit, error) {
	if err != nil && c.ID == "" {
		return nil, err
	}
	return &c, err
}

// settleRouter answers as applyRouter does, since a commit that cannot be
// confirmed is rolled back.
func (s *Server) settleRouter(settle func(Router, context.Context, string) (commit.Commit, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		rt, err := s.router()
		if err != nil {
			return err
		}
		return long(s, w, r, func(func(commit.Step)) (*commit.Commit, error) {
			return commitOf(settle(rt, context.WithoutCancel(r.Context()), actor(r)))
		})
	}
}

func (s *Server) routerStatus(w http.ResponseWriter, r *http.Request) error {
	rt, err := s.router()
	if err != nil {
		return err
	}
	status, err := rt.Status(r.Context())
	if err != nil && status.Router == "" {
		return err
	}
	if err != nil {
		// What is known without the router is an answer too.
		status.Error = err.Error()
	}
	return answer(w, status)
}

func (s *Server) routerHistory(w http.ResponseWriter, _ *http.Request) error {
	rt, err := s.router()
	if err != nil {
		return err
	}
	all, err := rt.History()
	if err != nil {
		return err
	}
	if all == nil {
		all = []commit.Commit{}
	}
	return answer(w, all)
}
