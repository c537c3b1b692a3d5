package nomad

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
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
	tmpl, err := loadTemplate(cfg.Job)
	if err != nil {
		return nil, err
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = requests
	base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	client := &http.Client{Transport: base}
	err = api.ConfigureTLS(client, &api.TLSConfig{
		CACert: cfg.CA, ClientCert: cfg.Cert, ClientKey: cfg.Key, TLSServerName: cfg.serverName(),
	})
	if err != nil {
		return nil, fmt.Errorf("TLS for %s: %w", cfg.Address, err)
	}
	client.Transport = &transport{next: base, tokenFile: cfg.TokenFile, slots: make(chan struct{}, requests)}
	c, err := api.NewClient(&api.Config{
		Address: cfg.Address, Region: cfg.region(), Namespace: cfg.namespace(), HttpClient: client,
	})
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", cfg.Address, err)
	}
	return &Cluster{cfg: cfg, log: log, api: c, job: tmpl, pace: realPace}, nil
}

// transport adds the token and holds back what exceeds the bound.
type transport struct {
	next      http.RoundTripper
	tokenFile string
	slots     chan struct{}
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != streamPath {
		select {
		case t.slots <- struct{}{}:
			defer func() { <-t.slots }()
		case <-req.Context().Done():
			return nil, context.Cause(req.Context())
		}
	}
	if t.tokenFile != "" {
		token, err := os.ReadFile(t.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read the Nomad token: %w", err)
		}
		req = req.Clone(req.Context())
		req.Header.Set("X-Nomad-Token", strings.TrimSpace(string(token)))
	}
	return t.next.RoundTrip(req)
}

// tries is how often one exchange is attempted: with the doubling pause this
// outlives the 403s and broken connections of a server that restarts, and an
// election.
const tries = 5

// call makes one exchange, and again while its failure is of the kind that
// passes.
func (c *Cluster) call(ctx context.Context, what string, f func(context.Context) error) error {
	for try := 1; ; try++ {
		one, cancel := context.WithTimeout(ctx, c.pace.exchange)
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
		if err := sleep(ctx, c.pace.backoff<<(try-1)); err != nil {
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
		return err
	case code == http.StatusForbidden || body == "Permission denied":
		return fmt.Errorf("%w: check nomad.token_file and the token's policies", ErrDenied)
	case body == "":
		return fmt.Errorf("the cluster answered %d %s", code, http.StatusText(code))
	}
	return fmt.Errorf("the cluster answered %d: %s", code, body)
}

// answer returns the status and body of a refusal, or 0 when there was no
// answer at all.
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
