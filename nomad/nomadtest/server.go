package nomadtest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"
)

// Server is a simulated cluster: one server and its clients. The zero value is
// a cluster without ACLs; its fields must not be changed once it serves.
type Server struct {
	URL string // set by NewServer and Start

	// ACL makes a cluster with ACLs, which wait for their bootstrap.
	ACL bool
	// Token is the secret of a management token: ACLs are on and bootstrapped with
	// it.
	Token string
	// TLS makes Start serve HTTPS.
	TLS *tls.Config
	// Mutual refuses clients that show no certificate of an authority in
	// TLS.ClientCAs, as a server with TLS for RPC does.
	Mutual bool
	// Dir is where the state is kept, so that a server that was killed goes on
	// where it was. It is in memory alone when empty.
	Dir string
	// Members are the cluster's servers, this one first. There is one when none
	// are given.
	Members []Member
	// NoIntroduction makes it a server before 1.11.
	NoIntroduction bool
	// Strict refuses clients without an introduction token.
	Strict bool
	// TTL is how long a client may be silent before it is down; 20 s when zero.
	TTL time.Duration
	// Beat is the pause between the event stream's heartbeats; 30 s when zero.
	Beat time.Duration
	// MetaLag is how long a change of a node's metadata takes to reach the
	// scheduler: 5 to 7 s on a real cluster, none when zero.
	MetaLag time.Duration
	// LeaderWait is how long a leaderless server looks for a leader before it
	// refuses a request; 5 s when zero.
	LeaderWait time.Duration

	start sync.Once
	mux   *http.ServeMux
	http  *http.Server
	end   func()

	mu     sync.Mutex
	index  uint64
	tables map[table]uint64
	nodes  map[string]*node
	jobs   map[name]*api.Job
	evals  map[string]*api.Evaluation
	allocs map[string]*api.Allocation
	output map[string][]byte // by allocation/task/stream
	key    []byte            // signs introduction tokens

	bootstrapped uint64            // the index at which the ACLs were, 0 before
	tokens       map[string]*token // by secret
	policies     map[string]*policy
	namespaces   map[string]*api.Namespace
	pools        map[string]*api.NodePool
	variables    map[name]*api.Variable // by path
	members      []Member

	past []batch // events, oldest first

	changed chan struct{} // closed and replaced at every change
	epoch   chan struct{} // closed and replaced when all connections break
	closed  bool

	kept    uint64        // the index of the state on disk
	tried   uint64        // the index of the last that was written, or could not be
	keptNow chan struct{} // closed and replaced when it was written, or could not be
	keepErr error

	faults faults
}

// name is a job's identity.
type name struct{ namespace, id string }

// table names what an index belongs to.
type table int

const (
	nodeTable table = iota
	jobTable
	evalTable
	allocTable
	tokenTable
	policyTable
	namespaceTable
	poolTable
	variableTable
)

// NewServer starts a cluster without ACLs on a loopback port.
func NewServer() *Server {
	s := new(Server)
	s.Start()
	return s
}

// Start serves on a loopback port and sets URL. Close ends it.
func (s *Server) Start() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("nomadtest: no loopback port: %v", err))
	}
	s.URL = "http://" + l.Addr().String()
	if s.TLS != nil {
		s.URL = "https://" + l.Addr().String()
		l = tls.NewListener(l, s.TLS)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.end = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		// The listener is ours: Serve ends by Close alone.
		_ = s.Serve(ctx, l)
	}()
}

// Close ends a server that Start began, with all its connections.
func (s *Server) Close() { s.end() }

// Serve answers on l until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.init()
	if err := s.restore(); err != nil {
		return err
	}
	if s.Dir != "" {
		var disk sync.WaitGroup
		defer disk.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		disk.Go(func() { s.persist(ctx) })
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		s.closed = true
		close(s.epoch)
		s.epoch = make(chan struct{})
		for _, n := range s.nodes {
			n.silent.Stop()
		}
		s.mu.Unlock()
		s.http.Close()
	})
	defer stop()
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) init() {
	s.start.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.index = 10 // a cluster that has just elected its leader has got about as far
		s.tables = map[table]uint64{}
		s.nodes = map[string]*node{}
		s.jobs = map[name]*api.Job{}
		s.evals = map[string]*api.Evaluation{}
		s.allocs = map[string]*api.Allocation{}
		s.output = map[string][]byte{}
		s.key = []byte(rand.Text())
		s.keptNow = make(chan struct{})
		s.tokens = map[string]*token{}
		s.policies = map[string]*policy{}
		s.namespaces = map[string]*api.Namespace{
			"default": {Name: "default", Description: "Default shared namespace", CreateIndex: 1, ModifyIndex: 1},
		}
		s.pools = builtIn()
		s.variables = map[name]*api.Variable{}
		s.tables[policyTable], s.tables[namespaceTable], s.tables[poolTable], s.tables[variableTable] = 1, 1, 1, 1
		if s.members = slices.Clone(s.Members); len(s.members) == 0 {
			s.members = ourselves()
		}
		s.changed = make(chan struct{})
		s.epoch = make(chan struct{})
		s.mux = s.routes()
		if s.Token != "" {
			s.firstToken(s.Token)
		}
	})
}

func (s *Server) ttl() time.Duration {
	if s.TTL > 0 {
		return s.TTL
	}
	return 20 * time.Second
}

func (s *Server) beat() time.Duration {
	if s.Beat > 0 {
		return s.Beat
	}
	return 30 * time.Second
}

func (s *Server) leaderWait() time.Duration {
	if s.LeaderWait > 0 {
		return s.LeaderWait
	}
	return 5 * time.Second
}

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
