package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Upstream serves a folder over HTTP as Void's servers serve theirs, with ranges and
// revalidation, and goes wrong where it is told to. Dir must be set.
type Upstream struct {
	Dir string

	mu       sync.Mutex
	faults   []Fault
	requests map[string]int
}

// Fault is something that goes wrong with some files. Of several that fit, the
// first one counts.
type Fault struct {
	// Path is a pattern of path.Match, for the last part of the path if it has no slash:
	// "*.xbps", "/current/x86_64-repodata".
	Path   string `json:"path"`
	Status int    `json:"status,omitempty"` // answer this, and no content
	Cut    int64  `json:"cut,omitempty"`    // break the connection after so many bytes of content
	Rate   int64  `json:"rate,omitempty"`   // send so many bytes a second
	Times  int    `json:"times,omitempty"`  // go wrong so often, then no more; zero: always
}

func (f Fault) fits(file string) bool {
	if !strings.Contains(f.Path, "/") {
		file = path.Base(file)
	}
	ok, err := path.Match(f.Path, file)
	return ok && err == nil // Fail has refused bad patterns
}

// Fail replaces what goes wrong. Without faults everything is well again.
func (u *Upstream) Fail(faults ...Fault) error {
	for _, f := range faults {
		if _, err := path.Match(f.Path, ""); err != nil || f.Path == "" {
			return fmt.Errorf("fault %+v: its path is no pattern: want one like *.xbps", f)
		}
		if f.Status == 0 && f.Cut == 0 && f.Rate == 0 {
			return fmt.Errorf("fault %+v: nothing goes wrong: want status, cut or rate", f)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults = append([]Fault(nil), faults...)
	return nil
}

// Requests is how often each path was asked for.
func (u *Upstream) Requests() map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.requests)
}

// take counts a request and returns what goes wrong with it.
func (u *Upstream) take(file string) Fault {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.requests == nil {
		u.requests = map[string]int{}
	}
	u.requests[file]++
	for i, f := range u.faults {
		if !f.fits(file) {
			continue
		}
		if f.Times == 1 {
			u.faults = append(u.faults[:i:i], u.faults[i+1:]...)
		} else if f.Times > 1 {
			u.faults[i].Times--
		}
		return f
	}
	return Fault{}
}

// ServeHTTP serves the folder.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := u.take(path.Clean("/" + r.URL.Path))
	if f.Status != 0 {
		http.Error(w, http.StatusText(f.Status), f.Status)
		return
	}
	if f.Cut > 0 || f.Rate > 0 {
		w = &faulty{ResponseWriter: w, fault: f, ctx: r.Context()}
	}
	http.FileServer(http.Dir(u.Dir)).ServeHTTP(w, r)
}

// faulty is an answer that breaks off or takes its time.
type faulty struct {
	http.ResponseWriter
	fault Fault
	sent  int64
	ctx   context.Context
}

func (w *faulty) Write(p []byte) (n int, err error) {
	const slices = 10 // of a second
	for len(p) > 0 {
		part := p
		if w.fault.Rate > 0 {
			part = part[:min(int64(len(part)), max(1, w.fault.Rate/slices))]
		}
		if w.fault.Cut > 0 {
			part = part[:min(int64(len(part)), w.fault.Cut-w.sent)]
		}
		m, err := w.ResponseWriter.Write(part)
		n, w.sent, p = n+m, w.sent+int64(m), p[m:]
		if err == nil {
			err = http.NewResponseController(w.ResponseWriter).Flush()
		}
		if err != nil {
			return n, err
		}
		if w.fault.Cut > 0 && w.sent >= w.fault.Cut {
			panic(http.ErrAbortHandler) // the way to break an answer off without a trace in the log
		}
		if w.fault.Rate > 0 {
			select {
			case <-w.ctx.Done():
				return n, w.ctx.Err()
			case <-time.After(time.Second / slices):
			}
		}
	}
	return n, nil
}

// Control is the handler of whoever tells u to go wrong: PUT /faults takes a JSON list of
// faults, GET /requests gives Requests.
func (u *Upstream) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) {
		var faults []Fault
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		err := d.Decode(&faults)
		if err == nil {
			err = u.Fail(faults...)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(u.Requests()); err != nil {
			return // the caller has gone
		}
	})
	return mux
}

// Serve serves the folder on files and Control on control until ctx ends.
func (u *Upstream) Serve(ctx context.Context, files, control net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range []struct {
		l net.Listener
		h http.Handler
	}{{files, u}, {control, u.Control()}} {
		server := &http.Server{Handler: s.h, ReadHeaderTimeout: 10 * time.Second}
		g.Go(func() error {
			if err := server.Serve(s.l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		g.Go(func() error {
			<-ctx.Done()
			return server.Close() // whoever is served sees a server that stops
		})
	}
	return g.Wait()
}
