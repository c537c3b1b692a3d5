package httpboot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"time"

	"provision.internal/host"
	"provision.internal/images"
)

// How long a request's body may take, and how large it may be: an inventory or
// a report with its log lines.
const (
	bodyTimeout = 30 * time.Second
	bodyLimit   = 4 << 20
)

// handler answers a request or returns why not. The wrappers below turn errors
// into answers.
type handler func(w http.ResponseWriter, r *http.Request) error

// refusal is an error whose text the client may read.
type refusal struct {
	status int
	text   string
	err    error // for the log; may be nil
}

func (r *refusal) Error() string {
	if r.err != nil {
		return r.text + ": " + r.err.Error()
	}
	return r.text
}

func (r *refusal) Unwrap() error { return r.err }

// badRequest refuses a request that makes no sense.
func badRequest(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, text: fmt.Sprintf(format, args...)}
}

// answerTo returns the status for err and what the client is told. Texts of
// errors stay inside unless they were written for the client.
func answerTo(err error) (status int, text string) {
	var r *refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &r):
		return r.status, r.text
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, "the request is too large"
	case errors.Is(err, host.ErrDenied), errors.Is(err, host.ErrIdentity):
		return http.StatusForbidden, "not authorised"
	case errors.Is(err, host.ErrGrant):
		return http.StatusForbidden, "the grant was refused"
	case errors.Is(err, host.ErrTransition), errors.Is(err, host.ErrExists):
		return http.StatusConflict, "the host's state has changed"
	case errors.Is(err, host.ErrUnknown), errors.Is(err, images.ErrMissing), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		return http.StatusNotFound, "not found"
	}
	return http.StatusInternalServerError, "the appliance could not answer; its log says why"
}

// route adds a public resource: GET and HEAD, refused as text.
func (s *Server) route(mux *http.ServeMux, pattern string, h handler) {
	mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		rec.conn, _ = r.Context().Value(connKey{}).(*gathered)
		err := h(rec, r)
		s.logRequest(r, rec, err)
		if err != nil && !rec.wrote {
			status, text := answerTo(err)
			rec.Header().Del("Content-Length")
			http.Error(rec, text, status)
		}
	})
}

// routeSecure adds a step of a protocol: POST, refused as {"error": "…"}.
func (s *Server) routeSecure(mux *http.ServeMux, pattern string, h handler) {
	mux.HandleFunc("POST "+pattern, func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		rec.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(rec, r.Body, bodyLimit)
		err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		if err == nil || errors.Is(err, http.ErrNotSupported) {
			err = h(rec, r)
		}
		s.logRequest(r, rec, err)
		if err != nil && !rec.wrote {
			status, text := answerTo(err)
			s.reply(rec, status, struct {
				Error string `json:"error"`
			}{text})
		}
	})
}

func (s *Server) logRequest(r *http.Request, rec *recorder, err error) {
	if err == nil && !s.Log.Enabled(r.Context(), slog.LevelDebug) {
		return // each package of each machine passes here
	}
	log := s.Log.With("peer", r.RemoteAddr, "path", r.URL.Path)
	switch {
	case err == nil:
		log.Debug("answered a machine", "status", rec.status, "bytes", rec.bytes)
	case r.Context().Err() != nil:
		log.Debug("the machine hung up", "err", err)
	default:
		if status, _ := answerTo(err); status >= 500 {
			log.Error("could not answer a machine", "err", err)
		} else {
			log.Warn("refused a machine", "status", status, "err", err)
		}
	}
}

// reply sends v as JSON.
func (s *Server) reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.Log.Error("encode an answer", "err", err)
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(b); err != nil {
		s.Log.Debug("the machine hung up", "err", err)
	}
}

// decode reads the one JSON object that the body must be.
func decode(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &refusal{status: http.StatusUnsupportedMediaType, text: "want application/json"}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return badRequest("the request cannot be read: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return badRequest("the request goes on after its end")
	}
	return nil
}

// remote is the address that r came from; the zero value when it has none.
func remote(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}
