package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"provision.internal/cluster"
	"provision.internal/nomad"
)

// Cluster is the Nomad cluster as the operators' requests need it.
type Cluster interface {
	// Ask is the word that the cluster be founded; it may be given again.
	Ask(ctx context.Context, by string) error
	Founded() bool
	Waits() string            // what the founding waits for; empty when for nothing
	Changed() <-chan struct{} // closed at the next change of the two
	Status(context.Context) (cluster.Status, error)
	Plan(context.Context) (cluster.Plan, error)
	Apply(context.Context, cluster.Plan) error
	// Spare returns why a server's disk must not be wiped, nil when it may be.
	Spare(ctx context.Context, name string) error
	// Reveal returns the management token, after it has recorded that by saw it.
	Reveal(by string) (string, error)
}

// Found asks that the cluster be founded.
type Found struct {
	Wait bool `json:"wait,omitempty"` // answer when it is
}

// ApplyCluster asks to make the cluster's policies and pools as declared.
type ApplyCluster struct {
	Seen string `json:"seen,omitempty"` // fingerprint of the plan that the operator agreed to
}

// FoundStep is what the founding waits for.
type FoundStep struct {
	Text string `json:"text"`
}

// ManagementToken is the answer to who asks for it by name, and no other answer
// holds it.
type ManagementToken struct {
	Token string `json:"token"`
}

// Paths of the cluster.
const (
	pathCluster       = "/v1/cluster"
	pathClusterInit   = "/v1/cluster/init"
	pathClusterPlan   = "/v1/cluster/plan"
	pathClusterApply  = "/v1/cluster/apply"
	pathClusterSecret = "/v1/cluster/secret"
)

// errNoCluster refuses what needs more than the section nomad.
var errNoCluster = &Error{Code: CodeState, Message: "the configuration has no cluster section: the cluster of the section nomad is used as it is"}

// clusterCodes are the refusals that the cluster is the reason of.
var clusterCodes = []refusal{
	{cluster.ErrNotAsked, CodeState, http.StatusConflict},
	{cluster.ErrNotFounded, CodeState, http.StatusConflict},
	{cluster.ErrAdopted, CodeState, http.StatusConflict},
	{cluster.ErrStale, CodeConflict, http.StatusConflict},
	{cluster.ErrNeeded, CodeState, http.StatusConflict},
	{cluster.ErrForeign, CodeConflict, http.StatusConflict},
	{nomad.ErrDenied, CodeClusterDenied, http.StatusBadGateway},
	{errAway, CodeNoCluster, http.StatusBadGateway},
}

// errAway marks what the servers did not answer, or not as they should.
var errAway = errors.New("the cluster does not answer")

// clusterTrouble marks an error that nobody here is to blame for.
func clusterTrouble(err error) error {
	if code, _ := codeOf(err); err == nil || code != CodeInternal || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", errAway, err)
}

func (s *Server) cluster() (Cluster, error) {
	if s.Cluster == nil {
		return nil, errNoCluster
	}
	return s.Cluster, nil
}

// initCluster answers with what the founding waits for until it is done. It goes
// on without the client.
func (s *Server) initCluster(w http.ResponseWriter, r *http.Request) error {
	var req Found
	if err := decode(r, &req); err != nil {
		return err
	}
	c, err := s.cluster()
	if err != nil {
		return err
	}
	if err := c.Ask(r.Context(), actor(r)); err != nil {
		return err
	}
	return long(s, w, r, func(step func(FoundStep)) (*cluster.Status, error) {
		if req.Wait {
			if err := untilFounded(r.Context(), c, step); err != nil {
				return nil, err
			}
		}
		st, err := c.Status(r.Context())
		return &st, clusterTrouble(err)
	})
}

func untilFounded(ctx context.Context, c Cluster, step func(FoundStep)) error {
	told := map[string]bool{} // each try of the founding begins with the same words
	for {
		changed := c.Changed()
		waits := c.Waits()
		if c.Founded() && waits == "" {
			return nil
		}
		if waits != "" && !told[waits] {
			step(FoundStep{waits})
			told[waits] = true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Server) clusterStatus(w http.ResponseWriter, r *http.Request) error {
	c, err := s.cluster()
	if err != nil {
		return err
	}
	st, err := c.Status(r.Context())
	if err != nil {
		return clusterTrouble(err)
	}
	return answer(w, st)
}

func (s *Server) planCluster(w http.ResponseWriter, r *http.Request) error {
	c, err := s.cluster()
	if err != nil {
		return err
	}
	plan, err := c.Plan(r.Context())
	if err != nil {
		return clusterTrouble(err)
	}
	return answer(w, plan)
}

// applyCluster answers with the plan that was carried out.
func (s *Server) applyCluster(w http.ResponseWriter, r *http.Request) error {
	var req ApplyCluster
	if err := decode(r, &req); err != nil {
		return err
	}
	c, err := s.cluster()
	if err != nil {
		return err
	}
	plan, err := c.Plan(r.Context())
	if err != nil {
		return clusterTrouble(err)
	}
	if req.Seen != "" && req.Seen != plan.Fingerprint() {
		return &Error{Code: CodeConflict, Message: "the cluster or the configuration has changed since you saw the plan: look at it again"}
	}
	if err := c.Apply(r.Context(), plan); err != nil {
		return clusterTrouble(fmt.Errorf("%w; what was done before stays done, and provision cluster policies apply goes on", err))
	}
	return answer(w, plan)
}

func (s *Server) clusterSecret(w http.ResponseWriter, r *http.Request) error {
	c, err := s.cluster()
	if err != nil {
		return err
	}
	token, err := c.Reveal(actor(r))
	if err != nil {
		return err
	}
	return answer(w, ManagementToken{token})
}
