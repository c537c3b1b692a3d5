package nomadtest

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/hashicorp/nomad/api"
)

// builtIn are the pools that every cluster has.
func builtIn() map[string]*api.NodePool {
	pools := map[string]*api.NodePool{}
	for name, text := range map[string]string{
		api.NodePoolAll: "Node pool with all nodes in the cluster.", api.NodePoolDefault: "Default node pool.",
	} {
		pools[name] = &api.NodePool{Name: name, Description: text, NodeIdentityTTL: identityTTL, CreateIndex: 1, ModifyIndex: 1}
	}
	return pools
}

const identityTTL = 24 * time.Hour

func isBuiltIn(pool string) bool { return pool == api.NodePoolAll || pool == api.NodePoolDefault }

func (s *Server) listOrWritePools(r request) (reply, error) {
	if r.writes() {
		return s.writePool(r)
	}
	if r.Method != http.MethodGet {
		return reply{}, errMethod
	}
	a, err := s.access(r.Request)
	if err != nil {
		return reply{}, err
	}
	out := []*api.NodePool{}
	for _, name := range slices.Sorted(maps.Keys(s.pools)) {
		if a.pool(name, "read") {
			out = append(out, s.pools[name])
		}
	}
	return s.read(out, poolTable)
}

// pool is a need of one capability on the pool called name.
func pool(name, capability string) need {
	return func(a access, _ string) bool { return a.pool(name, capability) }
}

func (s *Server) onePool(r request) (reply, error) {
	name := r.PathValue("name")
	switch {
	case r.writes():
		return s.writePool(r)
	case r.Method == http.MethodDelete:
		return s.deletePool(r, name)
	case r.Method != http.MethodGet:
		return reply{}, errMethod
	}
	if err := s.want(r, pool(name, "read")); err != nil {
		return reply{}, err
	}
	p := s.pools[name]
	if p == nil {
		return s.missing(poolTable, "node pool")
	}
	return reply{body: p, index: p.ModifyIndex, read: true}, nil
}

var validNewPool = regexp.MustCompile("^[a-zA-Z0-9-_]{1,128}$")

func (s *Server) writePool(r request) (reply, error) {
	var in api.NodePool
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	if name := r.PathValue("name"); name != "" && name != in.Name {
		return reply{}, refuse(http.StatusBadRequest, "Node pool name does not match request path")
	}
	if err := s.want(r, pool(in.Name, "write")); err != nil {
		return reply{}, err
	}
	switch {
	case isBuiltIn(in.Name):
		return reply{}, refuse(http.StatusBadRequest, "modifying node pool %q is not allowed", in.Name)
	case !validNewPool.MatchString(in.Name):
		return reply{}, refuse(http.StatusBadRequest,
			"invalid node pool %q: 1 error occurred:\n\t* invalid name %q, must match regex %s\n\n", in.Name, in.Name, validNewPool)
	}
	s.keepPool(&in)
	return reply{index: s.index}, nil
}

func (s *Server) keepPool(p *api.NodePool) {
	p.CreateIndex, p.ModifyIndex = s.index+1, s.index+1
	if p.NodeIdentityTTL == 0 {
		p.NodeIdentityTTL = identityTTL
	}
	if old := s.pools[p.Name]; old != nil {
		p.CreateIndex = old.CreateIndex
	}
	s.pools[p.Name] = p
	s.publish([]table{poolTable})
}

func (s *Server) deletePool(r request, name string) (reply, error) {
	if err := s.want(r, pool(name, "delete")); err != nil {
		return reply{}, err
	}
	switch {
	case isBuiltIn(name):
		return reply{}, refuse(http.StatusInternalServerError, "deleting node pool %q is not allowed", name)
	case s.pools[name] == nil:
		return reply{}, refuse(http.StatusInternalServerError, "node pool %s not found", name)
	}
	for _, n := range s.nodes {
		if n.NodePool == name {
			return reply{}, refuse(http.StatusBadRequest, "node pool %q has nodes in regions: [%s]", name, region)
		}
	}
	delete(s.pools, name)
	s.publish([]table{poolTable})
	return reply{index: s.index}, nil
}

func (s *Server) poolNodes(r request) (reply, error) {
	name := r.PathValue("name")
	both := func(a access, namespace string) bool { return readNode(a, namespace) && a.pool(name, "read") }
	if err := s.reads(r, both); err != nil {
		return reply{}, err
	}
	if s.pools[name] == nil {
		return s.missing(poolTable, "node pool")
	}
	out := []*api.NodeListStub{}
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		if n := s.nodes[id]; name == api.NodePoolAll || n.NodePool == name {
			out = append(out, stub(n.Node))
		}
	}
	return s.read(out, nodeTable)
}
