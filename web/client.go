package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"provision.internal/host"
)

// Client speaks to the daemon on the unix socket Socket. Its zero value but
// for Socket is ready to use.
type Client struct {
	Socket string
	// Silence is how long the event stream may say nothing, not even a
	// heartbeat, before it is opened anew. Zero means 30 s.
	Silence time.Duration
}

// Hosts lists every host, sorted.
func (c *Client) Hosts(ctx context.Context) (hosts []host.Host, err error) {
	return hosts, c.call(ctx, http.MethodGet, pathHosts, nil, &hosts)
}

// Host returns the host with the name or MAC ref.
func (c *Client) Host(ctx context.Context, ref string) (h host.Host, err error) {
	return h, c.call(ctx, http.MethodGet, fill(pathHost, ref), nil, &h)
}

// Admissions lists the standing admissions, by port.
func (c *Client) Admissions(ctx context.Context) (all []host.Admission, err error) {
	return all, c.call(ctx, http.MethodGet, pathStands, nil, &all)
}

// Enroll admits a machine.
func (c *Client) Enroll(ctx context.Context, req Enroll) (r Result, err error) {
	return r, c.call(ctx, http.MethodPost, pathEnroll, req, &r)
}

// Reinstall makes a new grant for the host ref.
func (c *Client) Reinstall(ctx context.Context, ref string, req Reinstall) (r Result, err error) {
	return r, c.call(ctx, http.MethodPost, fill(pathAgain, ref), req, &r)
}

// Retire takes the host ref out of service, or takes back the standing admission
// for the name or on the port ref.
func (c *Client) Retire(ctx context.Context, ref string) (r Result, err error) {
	return r, c.call(ctx, http.MethodPost, fill(pathRetire, ref), struct{}{}, &r)
}

// Images lists the boot files.
func (c *Client) Images(ctx context.Context) (images []Image, err error) {
	return images, c.call(ctx, http.MethodGet, pathImages, nil, &images)
}

// Status asks how the appliance is.
func (c *Client) Status(ctx context.Context) (st Status, err error) {
	return st, c.call(ctx, http.MethodGet, pathStatus, nil, &st)
}

// Version asks what the daemon is.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	return v, c.call(ctx, http.MethodGet, pathVersion, nil, &v)
}

// Events returns the events that q selects.
func (c *Client) Events(ctx context.Context, q Query) ([]host.Event, error) {
	var events []host.Event
	err := c.stream(ctx, q, false, func(u Update) error {
		if u.Event != nil {
			events = append(events, *u.Event)
		}
		return nil
	})
	return events, err
}

// Follow calls f with the events that q selects and then with everything that
// happens, until ctx ends or f returns an error, which it returns. A daemon
// that goes away, as for an update, is waited for: lost is then called with the
// reason, once for each time, and the stream goes on where it was.
func (c *Client) Follow(ctx context.Context, q Query, f func(Update) error, lost func(error)) error {
	connected := false
	var wait time.Duration
	for {
		var stop error
		err := c.stream(ctx, q, true, func(u Update) error {
			connected, wait = true, 0
			if e := u.Event; e != nil {
				q.After, q.Tail, q.Since = e.ID, 0, time.Time{}
			}
			stop = f(u)
			return stop
		})
		var refused *Error
		switch {
		case stop != nil:
			return stop
		case ctx.Err() != nil:
			return ctx.Err()
		case !connected, errors.As(err, &refused):
			return err
		}
		if wait == 0 {
			lost(err)
		}
		wait = min(wait*2+100*time.Millisecond, 2*time.Second)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// stream reads one answer of the event stream to its end. Its end is an error
// when the stream was to follow.
func (c *Client) stream(ctx context.Context, q Query, follow bool, f func(Update) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := c.Silence
	if silence == 0 {
		silence = 30 * time.Second
	}
	silent := time.AfterFunc(silence, func() { cancel(fmt.Errorf("%w: silent for %s", ErrUnreachable, silence)) })
	defer silent.Stop()

	resp, err := c.do(ctx, http.MethodGet, pathEvents+"?"+q.values(follow).Encode(), nil)
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing to flush
	in := bufio.NewReader(resp.Body)
	for {
		line, err := in.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && !follow:
			return nil
		case err != nil && context.Cause(ctx) != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("event stream: %w: %v", ErrUnreachable, err)
		}
		silent.Reset(silence)
		var u Update
		if err := json.Unmarshal(line, &u); err != nil {
			return fmt.Errorf("event stream: %w", err)
		}
		if err := f(u); err != nil {
			return err
		}
	}
}

func fill(pattern, ref string) string {
	return strings.Replace(pattern, "{ref}", url.PathEscape(ref), 1)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // nothing to flush
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// do returns an answer with status 200, or the daemon's refusal as an *Error.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://provision"+path, body)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DisableKeepAlives: true, // a command asks little, and a socket costs nothing
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
		},
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err() // not the daemon's doing
	}
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // nothing to flush
	refusal := &Error{Code: CodeInternal}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(refusal); err != nil || refusal.Message == "" {
		return nil, fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return nil, refusal
}

// explain says what to do about a daemon that cannot be asked.
func (c *Client) explain(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: you may not write to %s; become a member of the group that owns it, or use sudo", ErrUnreachable, c.Socket)
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("%w on %s (%v); start it with provision serve, or name its socket with --socket", ErrUnreachable, c.Socket, op.Err)
	}
	return fmt.Errorf("%w: %v", ErrUnreachable, err)
}
