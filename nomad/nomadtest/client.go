package nomadtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"
)

// Client is a machine of the cluster: it registers, stays, runs what is placed
// on it and reports. Name must be set.
type Client struct {
	Server string // URL; Join sets it
	Name   string

	ID, Secret       string // made when empty
	Datacenter, Pool string // dc1 and default when empty
	Class            string
	Meta             map[string]string
	Drivers          []string // raw_exec when empty
	Introduction     string   // token

	// Task runs one task to its end. When it is nil every task succeeds at
	// once and writes one line.
	Task func(ctx context.Context, t Task) Exit

	HTTP *http.Client // http.DefaultClient when nil
	Log  *slog.Logger // silent when nil
	// Retry is the pause after a failed request; 1 s when zero. It doubles up
	// to 16 times that.
	Retry time.Duration
}

// Task is one task of one allocation.
type Task struct {
	Alloc, Job, Namespace, Group, Name, Driver string

	Config map[string]any    // references to the node and the environment are resolved
	Env    map[string]string // NOMAD_META_KEY and the like, and the task's own
	Stdout io.Writer         // what is written shows in the task's log
	Stderr io.Writer
}

// Exit is a task's end.
type Exit struct {
	Code int
	Err  string // the driver's, when the task could not be started
}

// Join lets c join, as a machine in this process, which asks again sooner than
// one far away. The returned function makes it fall silent, and waits until it
// has.
func (s *Server) Join(c *Client) (leave func()) {
	c.Server = s.URL
	c.Retry = cmp.Or(c.Retry, 10*time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx) // ends with ctx only
	}()
	return func() {
		cancel()
		<-done
	}
}

// Run takes part in the cluster until ctx ends. It never gives up: a server that
// is away, or refuses, is asked again.
func (c *Client) Run(ctx context.Context) error {
	c.defaults()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	a := &agent{Client: c, tasks: &tasks, running: map[string]context.CancelFunc{}}
	pause := c.Retry
	for {
		err := a.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.Log.WarnContext(ctx, "not in the cluster, will register again", "peer", c.Server, "host", c.Name, "err", err)
		if a.registered {
			pause = c.Retry
		}
		if !doze(ctx, pause) {
			return nil
		}
		pause = min(2*pause, 16*c.Retry)
	}
}

func (c *Client) defaults() {
	for at, usual := range map[*string]string{
		&c.ID: newID(), &c.Secret: newID(), &c.Datacenter: "dc1", &c.Pool: "default",
	} {
		if *at == "" {
			*at = usual
		}
	}
	if len(c.Drivers) == 0 {
		c.Drivers = []string{"raw_exec"}
	}
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Retry == 0 {
		c.Retry = time.Second
	}
	if c.Task == nil {
		c.Task = func(_ context.Context, t Task) Exit {
			fmt.Fprintf(t.Stdout, "%s of %s: done\n", t.Name, t.Job)
			return Exit{}
		}
	}
}

// agent is a running Client.
type agent struct {
	*Client
	registered bool
	tasks      *sync.WaitGroup

	mu      sync.Mutex
	running map[string]context.CancelFunc // by allocation
}

// errGone: the server does not know the node (any more).
var errGone = errors.New("the server does not know this node")

// session registers and takes part until something fails or life ends. What it
// has started goes on in the next one.
func (a *agent) session(life context.Context) error {
	ctx := life
	a.registered = false
	var l lease
	err := a.call(ctx, "POST", "node", registration{
		ID: a.ID, Secret: a.Secret, Name: a.Name, Datacenter: a.Datacenter, Pool: a.Pool, Class: a.Class, Meta: a.Meta,
		Drivers: a.Drivers, Token: a.Introduction,
		Attributes: map[string]string{"kernel.name": "linux", "nomad.version": version, "unique.hostname": a.Name},
	}, &l)
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	beat := func() error { return a.call(ctx, "PUT", "node/"+a.ID+"/heartbeat", nil, &l) }
	if err := beat(); err != nil {
		return fmt.Errorf("first heartbeat: %w", err)
	}
	a.registered = true
	a.Log.InfoContext(ctx, "registered", "peer", a.Server, "host", a.Name)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var beats sync.WaitGroup
	defer beats.Wait()
	defer cancel(nil)
	beats.Go(func() {
		for doze(ctx, max(l.TTL/3, time.Millisecond)) {
			if err := beat(); err != nil {
				cancel(fmt.Errorf("heartbeat: %w", err))
				return
			}
		}
	})
	for since := uint64(0); ; {
		var list []work
		since, err = a.pull(ctx, since, &list)
		if err != nil {
			return fmt.Errorf("allocations: %w", errors.Join(context.Cause(ctx), err))
		}
		for _, w := range list {
			a.apply(life, w)
		}
	}
}

// apply starts or stops an allocation. What this process does not run although
// it has not ended is started from scratch: the machine was rebooted.
func (a *agent) apply(life context.Context, w work) {
	a.mu.Lock()
	defer a.mu.Unlock()
	stop, running := a.running[w.ID]
	ended := w.Status != api.AllocClientStatusPending && w.Status != api.AllocClientStatusRunning
	switch {
	case running && w.Stop:
		stop()
	case running || w.Stop || ended:
	default:
		ctx, cancel := context.WithCancel(life)
		a.running[w.ID] = cancel
		a.tasks.Go(func() {
			defer cancel()
			a.run(life, ctx, w)
		})
	}
}

func (a *agent) pull(ctx context.Context, since uint64, list *[]work) (uint64, error) {
	resp, err := a.do(ctx, "GET", "node/"+a.ID+"/work?since="+strconv.FormatUint(since, 10), nil)
	if err != nil {
		return since, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(list); err != nil {
		return since, err
	}
	if index, err := strconv.ParseUint(resp.Header.Get("X-Nomad-Index"), 10, 64); err == nil {
		since = index
	}
	return since, nil
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Server, "/")+SimPath+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Nomad-Token", c.Secret)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %s", errGone, text)
	}
	return nil, fmt.Errorf("the server answered %d: %s", resp.StatusCode, text)
}

// writer is an io.Writer.
type writer func([]byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}

// log sends what a task writes to the server. Lines that cannot be sent are
// lost, as they would be with the machine.
func (a *agent) log(life context.Context, alloc, task, stream string) io.Writer {
	q := url.Values{"task": {task}, "type": {stream}}
	return writer(func(b []byte) {
		resp, err := a.do(life, "POST", "alloc/"+alloc+"/log?"+q.Encode(), b)
		if err != nil {
			a.Log.WarnContext(life, "log lines lost", "host", a.Name, "err", err)
			return
		}
		resp.Body.Close()
	})
}

func doze(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
