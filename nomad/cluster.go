package nomad

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"text/template"
	"time"

	"github.com/hashicorp/nomad/api"
)

// What callers branch on.
var (
	// ErrJob: the configuration job has ended badly, or can never run. Asking
	// again for the same attempt gives the same answer.
	ErrJob = errors.New("configuration job failed")
	// ErrDenied: the cluster refuses the appliance's token.
	ErrDenied = errors.New("the token is refused by Nomad")
	// ErrNameTaken: another living node has the host's name.
	ErrNameTaken = errors.New("node name is taken")
)

// requests bounds the requests that are under way at any time, the event stream
// aside: a thousand hosts that arrive together must not become a thousand
// connections.
const requests = 32

// Cluster talks to one Nomad cluster. New makes it; Run must be running for
// WaitNode and RunJob to make progress.
type Cluster struct {
	cfg  Config
	acl  bool // the cluster wants a token
	log  *slog.Logger
	api  *api.Client
	job  *template.Template
	view view
	pace pace
}

// pace holds the waiting times. They are constants but for tests.
type pace struct {
	firstBeat time.Duration // a stream says {} at once, or it was denied
	silence   time.Duration // it says {} every 30 s, or it is dead
	relist    time.Duration // a purged node makes no event
	backoff   time.Duration // before the first new try; doubles
	exchange  time.Duration // one request and its answer
}

var realPace = pace{
	firstBeat: 5 * time.Second,
	silence:   40 * time.Second,
	relist:    time.Minute,
	backoff:   200 * time.Millisecond,
	exchange:  30 * time.Second,
}

// New checks what cfg names on disk and makes a client. It does not talk to the
// cluster: one that is away now is waited for later.
func New(cfg Config, log *slog.Logger) (*Cluster, error) {
	access, err := cfg.Access()
	if err != nil {
		return nil, err
	}
	return Connect(cfg, access, log)
}

// Connect is New with an access that is not read from cfg's files.
func Connect(cfg Config, access Access, log *slog.Logger) (*Cluster, error) {
	tmpl, err := loadTemplate(cfg.Job)
	if err != nil {
		return nil, err
	}
	c, err := access.Client(cfg.region(), cfg.namespace())
	if err != nil {
		return nil, err
	}
	return &Cluster{cfg: cfg, acl: access.Token != nil, log: log, api: c, job: tmpl, pace: realPace}, nil
}

// tries is how often one exchange is attempted: with the doubling pause this
// outlives the 403s and broken connections of a server that restarts, and an
// election.
const tries = 5

// call makes one exchange, and again while its failure is of the kind that
// passes.
func (c *Cluster) call(ctx context.Context, what string, f func(context.Context) error) error {
	return c.pace.call(ctx, what, f)
}

// Call makes one exchange with a cluster and makes it again while its failure
// is of the kind that passes: f must bear being repeated. What it returns says
// what the cluster said.
func Call(ctx context.Context, what string, f func(context.Context) error) error {
	return realPace.call(ctx, what, f)
}

func (p pace) call(ctx context.Context, what string, f func(context.Context) error) error {
	for try := 1; ; try++ {
		one, cancel := context.WithTimeout(ctx, p.exchange)
		err := f(one)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case !passing(err) || try == tries:
			return fmt.Errorf("%s: %w", what, explain(err))
		}
		if err := sleep(ctx, p.backoff<<(try-1)); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// passing reports whether err may go away by itself. A 403 is among them: a
// server that has just restarted refuses valid tokens for a moment.
func passing(err error) bool {
	switch code, body := answer(err); {
	case errors.Is(err, ErrJob):
		return false
	case code == 0:
		return true
	case code == http.StatusForbidden, code == http.StatusTooManyRequests:
		return true
	case body == "Permission denied": // with a 500: the token lacks a capability
		return false
	default:
		return code >= 500
	}
}

// explain replaces the library's wording by what the cluster said.
func explain(err error) error {
	code, body := answer(err)
	switch {
	case code == 0:
		return explainSilence(explainTLS(err))
	case code == http.StatusForbidden || body == "Permission denied":
		return fmt.Errorf("%w: check nomad.token_file and the token's policies", ErrDenied)
	case body == "":
		return fmt.Errorf("the cluster answered %d %s", code, http.StatusText(code))
	}
	return fmt.Errorf("the cluster answered %d: %s", code, body)
}

// Answer returns the status and body of the refusal that err holds, or 0 when
// there was no answer at all.
func Answer(err error) (code int, body string) { return answer(err) }

func answer(err error) (code int, body string) {
	var u api.UnexpectedResponseError
	if !errors.As(err, &u) || !u.HasStatusCode() {
		return 0, ""
	}
	return u.StatusCode(), strings.TrimSpace(u.Body())
}

func notFound(err error) bool {
	code, _ := answer(err)
	return code == http.StatusNotFound
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func query(ctx context.Context) *api.QueryOptions { return new(api.QueryOptions).WithContext(ctx) }
func write(ctx context.Context) *api.WriteOptions { return new(api.WriteOptions).WithContext(ctx) }
