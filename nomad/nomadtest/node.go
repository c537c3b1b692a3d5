package nomadtest

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
)

// node is a client and what the server alone knows of it. The embedded value is
// replaced and never changed: replies that are being encoded refer to it.
type node struct {
	*api.Node
	secret  string
	static  map[string]string  // the metadata of its own configuration
	dynamic map[string]*string // set over the API: null takes a key away
	silent  *time.Timer        // runs out when heartbeats stay away
	work    chan struct{}      // closed and replaced when its allocations change
}

// change stamps a changed copy of n and publishes it.
func (s *Server) changeNode(n *node, kind string, f func(*api.Node)) {
	c := *n.Node
	f(&c)
	c.ModifyIndex = s.index + 1
	n.Node = &c
	s.publish([]table{nodeTable}, event{Topic: "Node", Type: kind, Key: c.ID, Payload: payload("Node", &c)})
}

func stub(n *api.Node) *api.NodeListStub {
	return &api.NodeListStub{
		Address: "127.0.0.1", ID: n.ID, Datacenter: n.Datacenter, Name: n.Name, NodeClass: n.NodeClass,
		NodePool: n.NodePool, Version: n.Attributes["nomad.version"], Drain: n.Drain,
		SchedulingEligibility: n.SchedulingEligibility, Status: n.Status, StatusDescription: n.StatusDescription,
		Drivers: n.Drivers, LastDrain: n.LastDrain, CreateIndex: n.CreateIndex, ModifyIndex: n.ModifyIndex,
	}
}

func (s *Server) listNodes(r request) (reply, error) {
	if err := s.reads(r, readNode); err != nil {
		return reply{}, err
	}
	out := []*api.NodeListStub{}
	name, err := nameFilter(r.FormValue("filter"))
	if err != nil {
		return reply{}, err
	}
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		n := s.nodes[id].Node
		if strings.HasPrefix(id, r.FormValue("prefix")) && (name == "" || n.Name == name) {
			out = append(out, stub(n))
		}
	}
	return s.read(out, nodeTable)
}

// nameFilter reads the one kind of filter that is known here: Name == "NAME".
func nameFilter(filter string) (name string, err error) {
	if filter == "" {
		return "", nil
	}
	quoted, ok := strings.CutPrefix(strings.TrimSpace(filter), "Name == ")
	if ok {
		name, err = strconv.Unquote(quoted)
	}
	if !ok || err != nil {
		return "", refuse(http.StatusBadRequest, "failed to create result paginator: failed to read filter expression: "+
			"the simulator knows Name == \"NAME\" alone, not %s", filter)
	}
	return name, nil
}

func (s *Server) nodeInfo(r request) (reply, error) {
	if err := s.reads(r, readNode); err != nil {
		return reply{}, err
	}
	id := r.PathValue("id")
	if len(id) != 36 {
		return reply{}, refuse(http.StatusInternalServerError, "node lookup failed: index error: UUID must be 36 characters")
	}
	n := s.nodes[id]
	if n == nil {
		return s.missing(nodeTable, "node")
	}
	return reply{body: n.Node, index: n.ModifyIndex, read: true}, nil
}

// nodePart serves what is below a node's URL.
func (s *Server) nodePart(r request) (reply, error) {
	switch r.PathValue("part") {
	case "allocations":
		return s.nodeAllocations(r)
	case "eligibility":
		return s.nodeEligibility(r)
	case "drain":
		return s.nodeDrain(r)
	case "purge":
		return s.nodePurge(r)
	case "evaluate":
		return s.nodeEvaluate(r)
	}
	return reply{}, refuse(http.StatusNotFound, "")
}

func (s *Server) nodeAllocations(r request) (reply, error) {
	if err := s.reads(r, readNode); err != nil {
		return reply{}, err
	}
	return s.read(s.find(func(a *api.Allocation) bool { return a.NodeID == r.PathValue("id") }), allocTable)
}

// known returns the node that a write is about. An unknown one is a 500 here,
// not a 404.
func (s *Server) known(r request, v any) (*node, error) {
	if err := s.writes(r, v, writeNode); err != nil {
		return nil, err
	}
	n := s.nodes[r.PathValue("id")]
	if n == nil {
		return nil, refuse(http.StatusInternalServerError, "node not found")
	}
	return n, nil
}

func (s *Server) nodeEligibility(r request) (reply, error) {
	var in struct{ Eligibility string }
	n, err := s.known(r, &in)
	if err != nil {
		return reply{}, err
	}
	if in.Eligibility != api.NodeSchedulingEligible && in.Eligibility != api.NodeSchedulingIneligible {
		return reply{}, refuse(http.StatusInternalServerError, "invalid scheduling eligibility %q", in.Eligibility)
	}
	s.changeNode(n, "NodeEligibility", func(n *api.Node) { n.SchedulingEligibility = in.Eligibility })
	s.unblock()
	return s.nodeChanged(n)
}

func (s *Server) nodeDrain(r request) (reply, error) {
	var in struct {
		DrainSpec    *api.DrainSpec
		MarkEligible bool
	}
	n, err := s.known(r, &in)
	if err != nil {
		return reply{}, err
	}
	s.changeNode(n, "NodeDrain", func(n *api.Node) {
		n.Drain = in.DrainSpec != nil
		n.SchedulingEligibility = api.NodeSchedulingIneligible
		if in.DrainSpec == nil && in.MarkEligible {
			n.SchedulingEligibility = api.NodeSchedulingEligible
		}
	})
	if in.DrainSpec != nil {
		for _, a := range s.find(alive(n.ID)) {
			s.stopAlloc(a, "alloc is being migrated")
		}
	}
	return s.nodeChanged(n)
}

func (s *Server) nodeChanged(n *node) (reply, error) {
	return reply{index: s.index, body: map[string]any{
		"EvalCreateIndex": 0, "EvalIDs": nil, "Index": s.index, "NodeModifyIndex": n.ModifyIndex,
	}}, nil
}

// nodePurge forgets a node. No event tells of it.
func (s *Server) nodePurge(r request) (reply, error) {
	n, err := s.known(r, nil)
	if err != nil {
		return reply{}, err
	}
	s.forget(n)
	return reply{index: s.index, body: map[string]any{
		"EvalCreateIndex": 0, "EvalIDs": nil, "Features": 0, "HeartbeatTTL": 0, "Index": s.index,
		"KnownLeader": false, "LastContact": 0, "LeaderRPCAddr": "", "NextToken": "", "NodeModifyIndex": s.index,
		"NumNodes": 0, "SchedulingEligibility": "", "Servers": nil, "SignedIdentity": nil,
	}}, nil
}

func (s *Server) forget(n *node) {
	n.silent.Stop()
	delete(s.nodes, n.ID)
	close(n.work)
	s.publish([]table{nodeTable})
}

// Lose makes the node called name go down, as when its heartbeats stay away.
// What sysbatch jobs run on it stays "running" for ever.
func (s *Server) Lose(name string) {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nodes {
		if n.Name == name {
			s.down(n)
		}
	}
}

func (s *Server) down(n *node) {
	if n.Status == api.NodeStatusDown || s.nodes[n.ID] != n {
		return
	}
	n.silent.Stop()
	s.changeNode(n, "NodeStreamEvent", func(n *api.Node) {
		n.Status, n.StatusDescription, n.StatusUpdatedAt = api.NodeStatusDown, "heartbeat missed", time.Now().Unix()
	})
	for _, a := range s.find(alive(n.ID)) {
		if *a.Job.Type != api.JobTypeSysbatch {
			s.changeAlloc(a, "AllocationUpdated", func(a *api.Allocation) {
				a.DesiredStatus, a.DesiredDescription = api.AllocDesiredStatusStop, "alloc is lost since its node is down"
				a.ClientStatus = api.AllocClientStatusLost
			})
		}
	}
}
