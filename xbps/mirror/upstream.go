package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// newClient is polite and patient: a few connections, and a limit to every step.
// Bodies have none as a whole, because their size has no bound that a time could
// follow; see patient.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       90 * time.Second,
			MaxConnsPerHost:       16,
			MaxIdleConnsPerHost:   16,
			DisableCompression:    true, // sizes and hashes are of the files as they are
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 4 {
				return errors.New("more than 4 redirections")
			}
			if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
				return fmt.Errorf("redirected from TLS to %s", r.URL.Scheme)
			}
			return nil
		},
	}
}

// reach is whether upstream answers.
type reach struct {
	asked bool
	err   error // of the last request; nil when it was answered
	since time.Time
}

// get asks upstream for a file. The error wraps ErrUpstream where a later request may be
// answered, ErrVanished where upstream says that there is no such file.
func (m *Mirror) get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	if m.cfg.Upstream == nil {
		return nil, fmt.Errorf("%s: %w: there is none, and no import has brought it", path, ErrVanished)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.cfg.Upstream.JoinPath(path).String(), nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("User-Agent", "provision")
	res, err := m.cfg.Client.Do(r)
	if err != nil {
		cancel(nil)
		err = fmt.Errorf("%w: %w", ErrUpstream, err)
		m.reached(ctx, err)
		return nil, err
	}
	res.Body = newPatient(res.Body, m.cfg.Patience, cancel)
	switch {
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone:
		err = fmt.Errorf("%w: %s answered %s", ErrVanished, r.URL, res.Status)
		m.reached(ctx, nil)
	case res.StatusCode >= 300 && res.StatusCode != http.StatusNotModified:
		err = fmt.Errorf("%w: %s answered %s", ErrUpstream, r.URL, res.Status)
		m.reached(ctx, err)
	default:
		m.reached(ctx, nil)
		return res, nil
	}
	_ = res.Body.Close() // its content is of no use
	return nil, err
}

// reached notes whether upstream answers, and logs when that changes.
func (m *Mirror) reached(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil {
		return // nobody waited for the answer
	}
	m.mu.Lock()
	before := m.upstream
	if !before.asked || (before.err == nil) != (err == nil) {
		m.upstream.since = m.cfg.Now()
	}
	m.upstream.asked, m.upstream.err = true, err
	m.mu.Unlock()
	switch {
	case err != nil && before.err == nil:
		m.cfg.Log.Warn("upstream does not answer; what is kept goes on being served", "upstream", m.cfg.Upstream, "err", err)
	case err == nil && before.err != nil:
		m.cfg.Log.Info("upstream answers again", "upstream", m.cfg.Upstream, "away", m.cfg.Now().Sub(before.since).Round(time.Second))
	}
}

var errStalled = errors.New("nothing arrived for too long")

// patient is a body that is given up when nothing arrives for too long.
type patient struct {
	io.ReadCloser
	limit  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func newPatient(body io.ReadCloser, limit time.Duration, cancel context.CancelCauseFunc) *patient {
	return &patient{body, limit, time.AfterFunc(limit, func() { cancel(errStalled) }), cancel}
}

func (p *patient) Read(b []byte) (int, error) {
	p.timer.Reset(p.limit)
	n, err := p.ReadCloser.Read(b)
	return n, err
}

func (p *patient) Close() error {
	p.timer.Stop()
	err := p.ReadCloser.Close()
	p.cancel(nil)
	return err
}
