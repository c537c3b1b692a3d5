package web

import (
	"context"
	"net/http"

	"provision.internal/host"
)

const pathRetry = "/v1/hosts/{ref}/retry"

// retry has a host that failed after it had enrolled go on. The log of the attempt
// that failed is kept.
func (s *Server) retry(w http.ResponseWriter, r *http.Request) error {
	h, err := s.find(r.PathValue("ref"))
	if err != nil {
		return err
	}
	h, err = s.change(r, h.MAC, "to be tried again", func(h *host.Host) (_ bool, err error) {
		*h, err = h.Retry(s.now())
		return true, err
	})
	if err != nil {
		return err
	}
	return answer(w, Result{Host: s.public(h), Changed: true})
}

// Retry has the host ref, which failed after its system had enrolled, go on with a
// new attempt.
func (c *Client) Retry(ctx context.Context, ref string) (r Result, err error) {
	return r, c.call(ctx, http.MethodPost, fill(pathRetry, ref), struct{}{}, &r)
}
