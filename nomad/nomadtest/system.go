package nomadtest

import (
	"maps"
	"slices"

	"github.com/hashicorp/nomad/api"
)

// collectGarbage forgets dead jobs with all that belongs to them, and nodes that
// are down and have nothing left to run, at once and of any age.
func (s *Server) collectGarbage(r request) (reply, error) {
	if err := s.writes(r, nil, management); err != nil {
		return reply{}, err
	}
	for _, j := range slices.Collect(maps.Values(s.jobs)) {
		if *j.Status == "dead" && s.finished(j) {
			s.collect(j)
		}
	}
	for _, n := range slices.Collect(maps.Values(s.nodes)) {
		if n.Status == api.NodeStatusDown && len(s.find(alive(n.ID))) == 0 {
			s.forget(n)
		}
	}
	return reply{}, nil
}

func (s *Server) listAllocations(r request) (reply, error) {
	if err := s.reads(r, may("read-job")); err != nil {
		return reply{}, err
	}
	a, err := s.access(r.Request)
	if err != nil {
		return reply{}, err
	}
	out := []*api.AllocationListStub{}
	for _, one := range s.find(func(x *api.Allocation) bool {
		return (r.namespace == "*" || x.Namespace == r.namespace) && a.namespace(x.Namespace, "read-job")
	}) {
		out = append(out, one.Stub())
	}
	return s.read(out, allocTable)
}

func (s *Server) listEvaluations(r request) (reply, error) {
	if err := s.reads(r, may("read-job")); err != nil {
		return reply{}, err
	}
	a, err := s.access(r.Request)
	if err != nil {
		return reply{}, err
	}
	out := []*api.Evaluation{}
	for _, id := range slices.Sorted(maps.Keys(s.evals)) {
		e := s.evals[id]
		if (r.namespace == "*" || e.Namespace == r.namespace) && a.namespace(e.Namespace, "read-job") {
			out = append(out, e)
		}
	}
	return s.read(out, evalTable)
}

// nodeEvaluate has all that waits for nodes looked at again.
func (s *Server) nodeEvaluate(r request) (reply, error) {
	n, err := s.known(r, nil)
	if err != nil {
		return reply{}, err
	}
	s.unblock()
	return s.nodeChanged(n)
}
