package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// work is one line of the answer to a request that takes long: steps as they
// come, and then the result, what was refused, or both.
type work[S, R any] struct {
	Step   *S     `json:"step,omitempty"`
	Result *R     `json:"result,omitempty"`
	Error  *Error `json:"failed,omitempty"`
}

// errEnded is an answer without its last line.
var errEnded = errors.New("the daemon ended before the work did")

// long answers with the steps of a work as they come, one JSON object a line,
// and with its result, which may come with an error.
func long[S, R any](s *Server, w http.ResponseWriter, r *http.Request, f func(step func(S)) (*R, error)) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc, rc := json.NewEncoder(w), http.NewResponseController(w)
	send := func(line work[S, R]) {
		// Who has hung up is noticed by the request's context.
		_ = enc.Encode(line)
		_ = rc.Flush()
	}
	result, err := f(func(step S) { send(work[S, R]{Step: &step}) })
	last := work[S, R]{Result: result}
	if err != nil {
		code, _ := codeOf(err)
		if code == CodeInternal && r.Context().Err() == nil {
			s.Log.Error("operator's request", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		last.Error = &Error{Message: err.Error(), Code: code}
	}
	send(last)
	return nil
}

// longCall sends a request that is answered with a line for each step. The
// result may come with an error.
func longCall[S, R any](ctx context.Context, c *Client, path string, in any, step func(S)) (result R, err error) {
	text, err := json.Marshal(in)
	if err != nil {
		return result, err
	}
	res, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(text))
	if err != nil {
		return result, err
	}
	defer func() { _ = res.Body.Close() }() // nothing to flush
	for lines := json.NewDecoder(res.Body); ; {
		var line work[S, R]
		if err := lines.Decode(&line); err != nil {
			if ctx.Err() != nil {
				return result, ctx.Err()
			}
			return result, fmt.Errorf("%w: %w", ErrUnreachable, errEnded)
		}
		if line.Step != nil {
			step(*line.Step)
			continue
		}
		if line.Result != nil {
			result = *line.Result
		}
		if line.Error != nil {
			return result, line.Error
		}
		return result, nil
	}
}
