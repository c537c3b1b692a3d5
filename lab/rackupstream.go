package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// ProcessUpstream is the rack's process that stands in for Void's servers: Stop makes
// upstream unreachable.
const ProcessUpstream = "upstream"

const (
	upstreamAddress = Address + ":8081"

	// UpstreamURL is what images.upstream of the appliance's configuration names to
	// use the rack's upstream.
	UpstreamURL = "http://" + upstreamAddress
)

func (r *Rack) upstreamSocket() string { return r.socket("upstream.sock") }

// StartUpstream serves the repositories of in as Void's servers do. An appliance that is
// started later gets no folder of repositories: its configuration names UpstreamURL.
func (r *Rack) StartUpstream(ctx context.Context, p Programs, in *Inputs) error {
	if r.Running(ProcessUpstream) {
		return nil
	}
	if err := os.Remove(r.upstreamSocket()); err != nil && !errors.Is(err, os.ErrNotExist) { // of one that was killed
		return err
	}
	argv := []string{p.lab(), "upstream", "--listen", upstreamAddress, "--control", r.upstreamSocket(), in.Void()}
	if err := r.Start(ProcessUpstream, r.Dir, nil, r.Inside(argv...)...); err != nil {
		return err
	}
	return r.await(ctx, ProcessUpstream, func() error {
		_, err := r.UpstreamRequests(ctx)
		return err
	})
}

// FailUpstream replaces what goes wrong with the rack's upstream.
func (r *Rack) FailUpstream(ctx context.Context, faults ...Fault) error {
	body, err := json.Marshal(append([]Fault{}, faults...))
	if err != nil {
		return err
	}
	return r.askUpstream(ctx, http.MethodPut, "/faults", strings.NewReader(string(body)), nil)
}

// UpstreamRequests is how often each path was asked for since the upstream's start.
func (r *Rack) UpstreamRequests(ctx context.Context) (map[string]int, error) {
	var requests map[string]int
	return requests, r.askUpstream(ctx, http.MethodGet, "/requests", http.NoBody, &requests)
}

func (r *Rack) askUpstream(ctx context.Context, method, what string, body io.Reader, answer any) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", r.upstreamSocket())
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://upstream"+what, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= http.StatusBadRequest:
		said, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return errors.Join(fmt.Errorf("the rack's upstream: %s", strings.TrimSpace(string(said))), err)
	case answer == nil:
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
