package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Client speaks to the appliance over TLS that is pinned to its own authority.
type Client struct {
	URL  string // https://ADDRESS:PORT, without a final slash
	HTTP *http.Client

	session atomic.Value // string; from hello, which may come again while reports are on their way
	date    atomic.Value // time.Time; of the last answer
}

// SetSession makes later requests carry the session.
func (c *Client) SetSession(session string) { c.session.Store(session) }

// Date is when the appliance sent its last answer, by its own clock; zero before
// the first.
func (c *Client) Date() time.Time {
	t, _ := c.date.Load().(time.Time)
	return t
}

// How long one request may take, and how large its answer may be: a plan
// carries files.
const (
	requestTimeout = 30 * time.Second
	largestAnswer  = 16 << 20
)

// NewClient returns a Client for the appliance at url that trusts only the
// authorities in ca (PEM).
func NewClient(url string, ca []byte) (*Client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("the appliance's authority is no PEM certificate")
	}
	if !strings.HasPrefix(url, "https://") {
		return nil, fmt.Errorf("the appliance's URL %q is not https", url)
	}
	return &Client{
		URL: strings.TrimRight(url, "/"),
		HTTP: &http.Client{
			Timeout: requestTimeout,
			// A redirect would carry the session elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				TLSClientConfig:     &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
				DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 10 * time.Second}).DialContext,
				TLSHandshakeTimeout: 20 * time.Second, // emulated machines take seconds for one
				MaxIdleConnsPerHost: 2,
			},
		},
	}, nil
}

// Refusal is an answer that is not a success.
type Refusal struct {
	Path    string
	Status  int
	Message string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the appliance refused %s: %s (status %d)", r.Path, r.Message, r.Status)
}

// Is makes a refusal final unless a repetition may be answered otherwise: 5xx,
// too many requests, and time-outs of a proxy.
func (r *Refusal) Is(target error) bool {
	again := r.Status >= 500 || r.Status == http.StatusTooManyRequests || r.Status == http.StatusRequestTimeout
	return target == errFinal && !again
}

// changed reports whether err says that the host's state is not the one that
// the request was made for.
func changed(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Status == http.StatusConflict
}

// Post sends question to path and decodes the answer, which may be nil.
func (c *Client) Post(ctx context.Context, path string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return final("%s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return final("%s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if session, _ := c.session.Load().(string); session != "" {
		req.Header.Set("Authorization", "Bearer "+session)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("ask the appliance: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer))
	if err != nil {
		return fmt.Errorf("read the appliance's answer to %s: %w", path, err)
	}
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.date.Store(t)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &Refusal{Path: path, Status: resp.StatusCode, Message: refusalText(resp, b)}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(b, answer); err != nil {
		// A cut connection can look like this behind a proxy: worth a retry.
		return fmt.Errorf("read the appliance's answer to %s: %w", path, err)
	}
	return nil
}

func refusalText(resp *http.Response, body []byte) string {
	var refusal struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &refusal) == nil && refusal.Error != "" {
		return refusal.Error
	}
	return resp.Status
}
