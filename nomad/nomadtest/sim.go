package nomadtest

import (
	"net/http"
	"time"

	"github.com/hashicorp/nomad/api"
)

// SimPath is below what clients speak with the Server, where real ones speak
// RPC. No real cluster has it.
const SimPath = "/sim/v1/"

// registration is what a client says of itself.
type registration struct {
	ID, Secret, Name, Datacenter, Pool, Class string
	Meta, Attributes                          map[string]string
	Drivers                                   []string
	Token                                     string // introduction
}

// lease says how often a client must be heard.
type lease struct{ TTL time.Duration }

// work is one allocation as its client sees it.
type work struct {
	ID, Job, Namespace, Group string
	Stop                      bool // it is to be stopped
	Status                    string
	Meta                      map[string]string
	Tasks                     []*api.Task
}

// update is what a client reports of one allocation.
type update struct {
	Secret              string
	Status, Description string
	Tasks               map[string]*api.TaskState
}

func (s *Server) simRegister(r request) (reply, error) {
	var in registration
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	if in.ID == "" || in.Secret == "" || in.Name == "" {
		return reply{}, refuse(http.StatusBadRequest, "a node has an ID, a secret and a name")
	}
	old := s.nodes[in.ID]
	if old != nil && old.secret != in.Secret {
		return reply{}, refuse(http.StatusForbidden, "node secret ID does not match")
	}
	// A name or pool that the token is not for is refused at the first
	// registration only.
	if old == nil && (s.Strict || in.Token != "") {
		if !s.introduced(in.Token, in.Name, in.Pool, time.Now()) {
			return reply{}, errDenied
		}
	}
	n := &node{secret: in.Secret, static: in.Meta, work: make(chan struct{}), Node: &api.Node{
		ID: in.ID, Name: in.Name, Datacenter: in.Datacenter, NodePool: in.Pool, NodeClass: in.Class,
		Meta: in.Meta, Attributes: in.Attributes, HTTPAddr: "127.0.0.1:4646",
		SchedulingEligibility: api.NodeSchedulingEligible, Status: api.NodeStatusInit,
		StatusUpdatedAt: time.Now().Unix(), Drivers: map[string]*api.DriverInfo{}, CreateIndex: s.index + 1,
	}}
	for _, d := range in.Drivers {
		n.Drivers[d] = &api.DriverInfo{
			Attributes: map[string]string{"driver." + d: "true"}, Detected: true, Healthy: true,
			HealthDescription: "Healthy", UpdateTime: time.Now(),
		}
	}
	if old != nil {
		old.silent.Stop()
		close(old.work)
		n.CreateIndex = old.CreateIndex
		n.SchedulingEligibility = old.SchedulingEligibility
		n.Drain = old.Drain
		n.dynamic = old.dynamic
		n.Meta = n.meta()
	}
	s.keepNode(n)
	if s.pools[n.NodePool] == nil { // a client's word makes its pool
		s.keepPool(&api.NodePool{Name: n.NodePool})
	}
	s.changeNode(n, "NodeRegistration", func(*api.Node) {})
	return reply{body: lease{s.ttl()}}, nil
}

// keepNode makes n known, until its heartbeats stay away.
func (s *Server) keepNode(n *node) {
	n.silent = time.AfterFunc(s.ttl(), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.down(n)
	})
	s.nodes[n.ID] = n
}

// mine returns the node that r speaks for.
func (s *Server) mine(r request) (*node, error) {
	n := s.nodes[r.PathValue("id")]
	switch {
	case n == nil:
		return nil, refuse(http.StatusNotFound, "node not found")
	case n.secret != r.Header.Get("X-Nomad-Token"):
		return nil, errDenied
	}
	return n, nil
}

func (s *Server) simHeartbeat(r request) (reply, error) {
	n, err := s.mine(r)
	if err != nil {
		return reply{}, err
	}
	n.silent.Reset(s.ttl())
	if n.Status != api.NodeStatusReady {
		s.changeNode(n, "NodeStreamEvent", func(n *api.Node) {
			n.Status, n.StatusDescription, n.StatusUpdatedAt = api.NodeStatusReady, "", time.Now().Unix()
		})
		s.unblock()
	}
	return reply{body: lease{s.ttl()}}, nil
}

// simWork answers with the node's allocations. With "since" it waits until one
// of them is newer, a quarter of the TTL at most.
func (s *Server) simWork(r request) (reply, error) {
	for deadline := time.Now().Add(s.ttl() / 4); ; {
		n, err := s.mine(r)
		if err != nil {
			return reply{}, err
		}
		var newest uint64
		out := []work{}
		for _, a := range s.find(func(a *api.Allocation) bool { return a.NodeID == n.ID }) {
			newest = max(newest, a.AllocModifyIndex)
			out = append(out, workOf(a))
		}
		var known uint64
		if err := r.number("since", &known); err != nil {
			return reply{}, err
		}
		if newest > known || time.Now().After(deadline) {
			return reply{body: out, index: newest}, nil
		}
		changed, epoch := n.work, s.epoch
		s.mu.Unlock()
		select {
		case <-changed:
		case <-epoch:
			deadline = time.Time{}
		case <-r.Context().Done():
			deadline = time.Time{}
		case <-time.After(time.Until(deadline)):
		}
		s.mu.Lock()
	}
}

func workOf(a *api.Allocation) work {
	w := work{
		ID: a.ID, Job: a.JobID, Namespace: a.Namespace, Group: a.TaskGroup,
		Stop: a.DesiredStatus != api.AllocDesiredStatusRun, Status: a.ClientStatus, Meta: map[string]string{},
	}
	for k, v := range a.Job.Meta {
		w.Meta[k] = v
	}
	for _, g := range a.Job.TaskGroups {
		if *g.Name == a.TaskGroup {
			for k, v := range g.Meta {
				w.Meta[k] = v
			}
			w.Tasks = g.Tasks
		}
	}
	return w
}

func (s *Server) simUpdate(r request) (reply, error) {
	var in update
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	a := s.allocs[r.PathValue("id")]
	if a == nil {
		return s.missing(allocTable, "alloc")
	}
	if n := s.nodes[a.NodeID]; n == nil || n.secret != in.Secret {
		return reply{}, errDenied
	}
	s.changeAlloc(a, "AllocationUpdated", func(a *api.Allocation) {
		a.ClientStatus, a.ClientDescription, a.TaskStates = in.Status, in.Description, in.Tasks
	})
	return reply{body: struct{}{}}, nil
}

// keep is how much of a stream is remembered.
const keep = 1 << 20

func (s *Server) simLog(r request) (reply, error) {
	id := r.PathValue("id")
	a := s.allocs[id]
	if a == nil {
		return s.missing(allocTable, "alloc")
	}
	if n := s.nodes[a.NodeID]; n == nil || n.secret != r.Header.Get("X-Nomad-Token") {
		return reply{}, errDenied
	}
	key := id + "/" + r.FormValue("task") + "/" + r.FormValue("type")
	if err := s.keepOutput(key, r.data); err != nil {
		return reply{}, err
	}
	text := append(s.output[key], r.data...)
	s.output[key] = text[max(0, len(text)-keep):]
	return reply{body: struct{}{}}, nil
}
