package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"provision.internal/host"
)

// Hosts is the store as the operators' requests need it.
type Hosts interface {
	Host(host.MAC) (host.Host, error)
	Hosts() []host.Host
	Change(mac host.MAC, actor, cause string, f func(*host.Host) error) (host.Host, error)

	// Standing admissions.
	Admissions() []host.Admission
	Stand(a host.Admission, actor string) error
	Cancel(id, actor, cause string) (host.Admission, error)
}

// History is the store as the event stream needs it.
type History interface {
	Events(mac host.MAC, after uint64, limit int) ([]host.Event, error)
	LastEvent() (uint64, error)
	Watch() (changed <-chan struct{}, stop func())
}

// Known is a host that the configuration names. Being known gives it no grant.
type Known struct {
	Name string
	MAC  host.MAC
	Role string
	Disk string // serial to install on; allows no foreign signature
}

// Server answers operators on Listener. Listener, Hosts, History, Log, Images,
// Status and Upkeep must be set.
type Server struct {
	Listener net.Listener
	Hosts    Hosts
	History  History
	Log      *slog.Logger
	Images   func() []Image
	Status   func() Status
	Upkeep   Upkeep

	Packages Packages      // nil where there is no mirror
	Router   Router        // nil where none is configured
	Cluster  Cluster       // nil where the section nomad is all
	Ports    Ports         // of the router, nil with it
	Roles    []string      // that a host may have
	Known    []Known       // from the configuration
	GrantTTL time.Duration // how long a grant stays open; zero means a day
	Now      func() time.Time
	Beat     time.Duration // between heartbeats of the event stream; zero means 10 s

	admission sync.Mutex // a name is looked up and given in one piece
}

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       withPeer,
		// Streams end with the daemon, because their requests' contexts do.
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.Listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // whoever did not hang up in time is cut off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Handler is the API without a listener.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			if err := f(w, r); err != nil {
				s.refuse(w, r, err)
			}
		})
	}
	handle("GET "+pathHosts, s.listHosts)
	handle("GET "+pathHost, s.getHost)
	handle("GET "+pathStands, s.listAdmissions)
	handle("POST "+pathEnroll, s.enroll)
	handle("POST "+pathAgain, s.reinstall)
	handle("POST "+pathRetry, s.retry)
	handle("POST "+pathRetire, s.retire)
	handle("GET "+pathEvents, s.events)
	handle("GET "+pathSnapshots, s.listSnapshots)
	handle("POST "+pathSnapshots, s.freeze)
	handle("DELETE "+pathSnapshot, s.thaw)
	handle("POST "+pathComplete, s.completeSnapshot)
	handle("GET "+pathExport, s.export)
	mux.HandleFunc("POST "+pathImport, func(w http.ResponseWriter, r *http.Request) {
		if err := s.importBundle(w, r); err != nil { // of any size, unlike all other requests
			s.refuse(w, r, err)
		}
	})
	handle("GET "+pathRouter, s.routerStatus)
	handle("GET "+pathRouterHistory, s.routerHistory)
	handle("POST "+pathRouterPlan, s.planRouter)
	handle("POST "+pathRouterApply, s.applyRouter)
	handle("POST "+pathBootstrap, s.bootstrapRouter)
	handle("POST "+pathRouterConfirm, s.settleRouter(Router.Confirm))
	handle("POST "+pathRouterRollback, s.settleRouter(Router.Rollback))
	s.routeRuns(handle)
	handle("GET "+pathCluster, s.clusterStatus)
	handle("POST "+pathClusterInit, s.initCluster)
	handle("GET "+pathClusterPlan, s.planCluster)
	handle("POST "+pathClusterApply, s.applyCluster)
	handle("POST "+pathClusterSecret, s.clusterSecret)
	handle("GET "+pathImages, func(w http.ResponseWriter, _ *http.Request) error { return answer(w, s.Images()) })
	handle("GET "+pathStatus, s.status)
	handle("GET "+pathVersion, func(w http.ResponseWriter, _ *http.Request) error { return answer(w, s.Status().Version) })
	return mux
}

// refuse answers with err. Operators may know every detail; only what is the
// appliance's own fault is logged as well.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code, status := codeOf(err)
	if code == CodeInternal {
		s.Log.Error("operator's request", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Error{Message: err.Error(), Code: code}) // the client is gone: nobody to tell
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
	return nil
}

func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	return nil
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Server) terms(by string) terms {
	ttl := s.GrantTTL
	if ttl == 0 {
		ttl = 24 * time.Hour
	}
	return terms{by: by, now: s.now(), ttl: ttl, place: s.Ports != nil}
}

func (s *Server) listHosts(w http.ResponseWriter, _ *http.Request) error {
	hosts := s.Hosts.Hosts()
	for i, h := range hosts {
		hosts[i] = s.public(h)
	}
	if hosts == nil {
		hosts = []host.Host{}
	}
	return answer(w, hosts)
}

func (s *Server) getHost(w http.ResponseWriter, r *http.Request) error {
	h, err := s.find(r.PathValue("ref"))
	if err != nil {
		return err
	}
	return answer(w, s.public(h))
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) error {
	st := s.Status()
	st.Hosts = make(map[host.State]int)
	for _, h := range s.Hosts.Hosts() {
		st.Hosts[h.State]++
	}
	return answer(w, st)
}

// find looks a host up by MAC or name. A retired host gives way to one that
// took over its name.
func (s *Server) find(ref string) (host.Host, error) {
	if mac, err := host.ParseMAC(ref); err == nil {
		return s.Hosts.Host(mac)
	}
	h, ok := named(s.Hosts.Hosts(), ref)
	for _, k := range s.Known {
		if !ok && k.Name == ref {
			var err error
			h, err = s.Hosts.Host(k.MAC)
			ok = err == nil && h.Name == ""
		}
	}
	if !ok {
		return host.Host{}, fmt.Errorf("%s: %w; provision hosts lists them", ref, host.ErrUnknown)
	}
	return h, nil
}

func named(hosts []host.Host, name string) (_ host.Host, ok bool) {
	var found host.Host
	for _, h := range hosts {
		if h.Name == name && (!ok || found.State == host.Retired) {
			found, ok = h, true
		}
	}
	return found, ok
}

// public returns h as operators see it: without what only the machine itself
// may prove with, not even as digests, and with the name and role that the
// configuration has for a machine that nobody admitted yet.
func (s *Server) public(h host.Host) host.Host {
	h.Session, h.Enrolment = nil, nil
	if h.Grant != nil {
		g := *h.Grant
		g.Claim = host.Digest{}
		h.Grant = &g
	}
	for _, k := range s.Known {
		if h.State == host.Seen && h.Name == "" && k.MAC == h.MAC {
			h.Name, h.Role = k.Name, k.Role
		}
	}
	return h
}
