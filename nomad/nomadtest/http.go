package nomadtest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// reply is what a handler answers with. A read carries the headers of one, with
// the index of the table that it looked in: 0 until something is in there.
type reply struct {
	code  int // 200 when 0
	body  any // JSON, or []byte for plain text
	index uint64
	read  bool
}

// refusal is an answer other than 200. Its text is sent as Nomad sends it: plain,
// without a final newline.
type refusal struct {
	code  int
	text  string
	index uint64 // of the table that was looked in
	read  bool   // one was looked in
}

func (r refusal) Error() string { return fmt.Sprintf("%d %s", r.code, r.text) }

func refuse(code int, format string, args ...any) error {
	return refusal{code: code, text: fmt.Sprintf(format, args...)}
}

var (
	errMethod = refuse(http.StatusMethodNotAllowed, "Invalid method")
	errDenied = refuse(http.StatusForbidden, "Permission denied")
)

// request is one call, with its body read.
type request struct {
	*http.Request
	namespace string
	data      []byte
}

func (r request) decode(v any) error {
	if len(r.data) == 0 {
		return refuse(http.StatusBadRequest, "Request body is empty")
	}
	if err := json.Unmarshal(r.data, v); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	return nil
}

// writes reports whether the method is one of those that Nomad takes for a
// write: it makes no difference between them.
func (r request) writes() bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }

// handler answers one request. It runs with the server's lock held.
type handler func(request) (reply, error)

// maxBody is far above any jobspec or log chunk.
const maxBody = 8 << 20

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.init()
	if s.Mutual && strings.HasPrefix(r.URL.Path, SimPath) && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		s.refuse(w, refuse(http.StatusForbidden, "the client shows no certificate of the cluster's authority"))
		return
	}
	if err := s.fault(r); err != nil {
		s.refuse(w, err)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// api serves h, which finds out itself whether the caller may ask.
func (s *Server) api(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, h) }
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, h handler) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.refuse(w, refuse(http.StatusBadRequest, "%v", err))
		return
	}
	req := request{Request: r, namespace: r.FormValue("namespace"), data: data}
	if req.namespace == "" {
		req.namespace = "default"
	}
	body, rep, err := s.answer(req, h)
	if err != nil {
		s.refuse(w, err)
		return
	}
	if s.Dir != "" && r.Method != http.MethodGet {
		if err := s.durable(r.Context()); err != nil {
			s.refuse(w, err)
			return
		}
	}
	switch {
	case rep.read:
		headRead(w.Header(), rep.index)
	case rep.index > 0:
		w.Header().Set("X-Nomad-Index", strconv.FormatUint(rep.index, 10))
	}
	w.Header().Set("Content-Type", "application/json")
	if _, plain := rep.body.([]byte); plain {
		w.Header().Set("Content-Type", "text/plain")
	}
	w.Header().Add("Vary", "Accept-Encoding")
	w.WriteHeader(cmp.Or(rep.code, http.StatusOK))
	_, _ = w.Write(body) // a client that has gone away hears nothing anyway
}

// answer calls h, and again while a blocking query has nothing new. The body is
// encoded under the lock, since it refers to what the lock protects.
func (s *Server) answer(r request, h handler) (body []byte, rep reply, err error) {
	known, _ := strconv.ParseUint(r.FormValue("index"), 10, 64)
	wait := 5 * time.Minute
	if d, err := time.ParseDuration(r.FormValue("wait")); err == nil {
		wait = min(d, 10*time.Minute)
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for expired := false; ; {
		s.mu.Lock()
		changed, epoch := s.changed, s.epoch
		rep, err = h(r)
		// Nothing new: an answer, or "not found", that is no newer than known.
		at, read := rep.index, rep.read
		if no, ok := errors.AsType[refusal](err); ok {
			at, read = no.index, no.read
		}
		if known == 0 || at > known || !read || expired {
			switch b := rep.body.(type) {
			case nil:
			case []byte:
				body = b
			default:
				if err == nil {
					body, err = json.Marshal(b)
				}
			}
			s.mu.Unlock()
			return body, rep, err
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-timeout.C:
			expired = true
		case <-epoch:
			panic(http.ErrAbortHandler) // the reply is empty, as from a server that stops
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

func (s *Server) refuse(w http.ResponseWriter, err error) {
	no, ok := errors.AsType[refusal](err)
	if !ok {
		no = refusal{code: http.StatusInternalServerError, text: err.Error()}
	}
	if no.text == "" { // unknown URL
		w.WriteHeader(no.code)
		return
	}
	switch {
	case no.read:
		headRead(w.Header(), no.index)
	case no.index > 0:
		w.Header().Set("X-Nomad-Index", strconv.FormatUint(no.index, 10))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Add("Vary", "Accept-Encoding")
	w.WriteHeader(no.code)
	_, _ = io.WriteString(w, no.text)
}

func headRead(h http.Header, index uint64) {
	h.Set("X-Nomad-Index", strconv.FormatUint(index, 10))
	h.Set("X-Nomad-Knownleader", "true")
	h.Set("X-Nomad-Lastcontact", "0")
}

// read is a reply with the index of t.
func (s *Server) read(body any, t table) (reply, error) {
	return reply{body: body, index: s.tables[t], read: true}, nil
}

// missing is a 404 in the table t.
func (s *Server) missing(t table, what string) (reply, error) {
	return reply{}, refusal{code: http.StatusNotFound, text: what + " not found", index: s.tables[t], read: true}
}

// number reads a query parameter; a missing one is 0.
func (r request) number(name string, to *uint64) (err error) {
	if v := r.FormValue(name); v != "" {
		*to, err = strconv.ParseUint(v, 10, 64)
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "Invalid %s", name)
	}
	return nil
}
