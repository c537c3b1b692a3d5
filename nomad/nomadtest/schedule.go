package nomadtest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
)

func jobEvent(j *api.Job, kind string) event {
	return event{Topic: "Job", Type: kind, Key: *j.ID, Namespace: *j.Namespace, Payload: payload("Job", j)}
}

func evalEvent(e *api.Evaluation, kind string) event {
	return event{Topic: "Evaluation", Type: kind, Key: e.ID, Namespace: e.Namespace,
		FilterKeys: []string{e.JobID, ""}, Payload: payload("Evaluation", e)}
}

// allocEvent leaves the job out of the allocation, as the real stream does.
func allocEvent(a *api.Allocation, kind string) event {
	short := *a
	short.Job = nil
	return event{Topic: "Allocation", Type: kind, Key: a.ID, Namespace: a.Namespace,
		FilterKeys: []string{a.JobID, a.DeploymentID}, Payload: payload("Allocation", &short)}
}

// newEval is stamped with the next index; the caller publishes it.
func (s *Server) newEval(j *api.Job, trigger string) *api.Evaluation {
	now := time.Now().UnixNano()
	e := &api.Evaluation{
		ID: newID(), Priority: *j.Priority, Type: *j.Type, TriggeredBy: trigger, Namespace: *j.Namespace, JobID: *j.ID,
		JobModifyIndex: *j.JobModifyIndex, Status: api.EvalStatusPending,
		CreateIndex: s.index + 1, ModifyIndex: s.index + 1, CreateTime: now, ModifyTime: now,
	}
	s.evals[e.ID] = e
	return e
}

func (s *Server) changeEval(e *api.Evaluation, f func(*api.Evaluation)) *api.Evaluation {
	c := *e
	f(&c)
	c.ModifyIndex, c.ModifyTime = s.index+1, time.Now().UnixNano()
	s.evals[c.ID] = &c
	return &c
}

func (s *Server) changeAlloc(a *api.Allocation, kind string, f func(*api.Allocation)) {
	c := *a
	f(&c)
	c.ModifyIndex, c.ModifyTime = s.index+1, time.Now().UnixNano()
	s.allocs[c.ID] = &c
	events := []event{allocEvent(&c, kind)}
	tables := []table{allocTable}
	if j := s.jobs[name{c.Namespace, c.JobID}]; j != nil && *j.Status != "dead" && s.finished(j) {
		dead := "dead"
		j = s.changeJob(j, func(j *api.Job) { j.Status = &dead })
		events = append(events, jobEvent(j, kind))
		tables = append(tables, jobTable)
	}
	s.publish(tables, events...)
	s.wakeNode(c.NodeID)
}

func (s *Server) stopAlloc(a *api.Allocation, why string) {
	s.changeAlloc(a, "PlanResult", func(a *api.Allocation) {
		a.DesiredStatus, a.DesiredDescription = api.AllocDesiredStatusStop, why
		a.AllocModifyIndex = s.index + 1
	})
}

func (s *Server) wakeNode(id string) {
	if n := s.nodes[id]; n != nil {
		close(n.work)
		n.work = make(chan struct{})
	}
}

func terminal(a *api.Allocation) bool {
	switch a.ClientStatus {
	case api.AllocClientStatusComplete, api.AllocClientStatusFailed, api.AllocClientStatusLost:
		return true
	}
	return false
}

// finished reports whether all of j's allocations have ended.
func (s *Server) finished(j *api.Job) bool {
	mine := of(j)
	for _, a := range s.allocs {
		if mine(a) && !terminal(a) {
			return false
		}
	}
	return true
}

// schedule places every group of j. What a sysbatch or system job finds no node
// for is not tried again, and is not even told where its datacenters and node
// pool have no node at all; other types leave a blocked evaluation.
func (s *Server) schedule(j *api.Job, eval *api.Evaluation) {
	retried := *j.Type == api.JobTypeBatch || *j.Type == api.JobTypeService
	failed := map[string]*api.AllocationMetric{}
	missed := false
	var placed []*api.Allocation
	for _, g := range j.TaskGroups {
		fit, metric := s.candidates(j, g)
		every := *j.Type == api.JobTypeSysbatch || *j.Type == api.JobTypeSystem
		if !every {
			fit = fit[:min(len(fit), *g.Count)]
		}
		if len(fit) == 0 && s.running(j, g, nil) == 0 {
			missed = true
			if retried || metric.NodesEvaluated > 0 {
				failed[*g.Name] = metric
			}
		}
		for i, n := range fit {
			if s.running(j, g, n) == 0 {
				placed = append(placed, s.place(j, g, n, eval, i))
			}
		}
	}
	if len(placed) > 0 {
		running := "running"
		eval = s.changeEval(eval, func(*api.Evaluation) {})
		j = s.changeJob(j, func(j *api.Job) { j.Status = &running })
		events := []event{evalEvent(eval, "PlanResult")}
		for _, a := range placed {
			events = append(events, allocEvent(a, "PlanResult"))
		}
		s.publish([]table{jobTable, evalTable, allocTable}, append(events, jobEvent(j, "PlanResult"))...)
		for _, a := range placed {
			s.wakeNode(a.NodeID)
		}
	}
	blocked := ""
	if len(failed) > 0 && retried {
		b := s.newEval(j, "queued-allocs")
		b.Status, b.PreviousEval = api.EvalStatusBlocked, eval.ID
		blocked = b.ID
	}
	eval = s.changeEval(eval, func(e *api.Evaluation) {
		e.Status, e.SnapshotIndex, e.BlockedEval = api.EvalStatusComplete, s.index, blocked
		if len(failed) > 0 {
			e.FailedTGAllocs = failed
		}
	})
	events := []event{evalEvent(eval, "EvaluationUpdated")}
	if missed && len(placed) == 0 && !retried {
		dead := "dead"
		j = s.changeJob(j, func(j *api.Job) { j.Status = &dead })
		events = append(events, jobEvent(j, "EvaluationUpdated"))
	}
	s.publish([]table{jobTable, evalTable}, events...)
}

// running counts the group's allocations, on n if given. An ended one counts: a
// batch job does not run twice on one node.
func (s *Server) running(j *api.Job, g *api.TaskGroup, n *api.Node) (count int) {
	for _, a := range s.allocs {
		if a.JobID == *j.ID && a.Namespace == *j.Namespace && a.TaskGroup == *g.Name && (n == nil || a.NodeID == n.ID) {
			count++
		}
	}
	return count
}

func (s *Server) place(j *api.Job, g *api.TaskGroup, n *api.Node, eval *api.Evaluation, i int) *api.Allocation {
	now := time.Now().UnixNano()
	a := &api.Allocation{
		ID: newID(), Namespace: *j.Namespace, EvalID: eval.ID, Name: fmt.Sprintf("%s.%s[%d]", *j.ID, *g.Name, i),
		NodeID: n.ID, NodeName: n.Name, JobID: *j.ID, Job: j, TaskGroup: *g.Name,
		DesiredStatus: api.AllocDesiredStatusRun, ClientStatus: api.AllocClientStatusPending,
		CreateIndex: s.index + 1, ModifyIndex: s.index + 1, AllocModifyIndex: s.index + 1, CreateTime: now, ModifyTime: now,
	}
	s.allocs[a.ID] = a
	return a
}

// unblock tries blocked evaluations again, when a node has changed.
func (s *Server) unblock() {
	for _, id := range slices.Sorted(maps.Keys(s.evals)) {
		e := s.evals[id]
		if e == nil || e.Status != api.EvalStatusBlocked {
			continue
		}
		j := s.jobs[name{e.Namespace, e.JobID}]
		if j == nil || *j.Stop {
			delete(s.evals, id)
			continue
		}
		s.schedule(j, s.changeEval(e, func(e *api.Evaluation) { e.Status = api.EvalStatusPending }))
	}
}

// candidates returns the nodes that g may run on, and the account of the others.
func (s *Server) candidates(j *api.Job, g *api.TaskGroup) (fit []*api.Node, m *api.AllocationMetric) {
	m = &api.AllocationMetric{NodesAvailable: map[string]int{}, ConstraintFiltered: map[string]int{}, ClassFiltered: map[string]int{}}
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		n := s.nodes[id].Node
		if n.Status != api.NodeStatusReady || n.SchedulingEligibility != api.NodeSchedulingEligible ||
			(*j.NodePool != api.NodePoolAll && *j.NodePool != n.NodePool) || !inDatacenters(j, n) {
			continue
		}
		m.NodesEvaluated++
		m.NodesInPool++
		m.NodesAvailable[n.Datacenter]++
		if why := filtered(j, g, n); why != "" {
			m.NodesFiltered++
			m.ConstraintFiltered[why]++
			if n.NodeClass != "" {
				m.ClassFiltered[n.NodeClass]++
			}
			continue
		}
		fit = append(fit, n)
	}
	return fit, m
}

func inDatacenters(j *api.Job, n *api.Node) bool {
	return slices.ContainsFunc(j.Datacenters, func(pattern string) bool {
		ok, err := path.Match(pattern, n.Datacenter)
		return err == nil && ok
	})
}

// filtered names what keeps g from n.
func filtered(j *api.Job, g *api.TaskGroup, n *api.Node) string {
	constraints := slices.Concat(j.Constraints, g.Constraints)
	for _, t := range g.Tasks {
		constraints = append(constraints, t.Constraints...)
	}
	for _, c := range constraints {
		left, right := target(c.LTarget, n), target(c.RTarget, n)
		holds := left == right
		switch c.Operand {
		case "!=", "not":
			holds = left != right
		case "set_contains":
			holds = slices.Contains(strings.Split(left, ","), right)
		case "is_set":
			holds = left != ""
		}
		if !holds {
			return fmt.Sprintf("%s %s %s", c.LTarget, c.Operand, c.RTarget)
		}
	}
	for _, t := range g.Tasks {
		if d := n.Drivers[t.Driver]; d == nil || !d.Detected || !d.Healthy {
			return "missing drivers"
		}
	}
	return ""
}

// target resolves a constraint's side on n.
func target(s string, n *api.Node) string {
	expr, ok := strings.CutPrefix(s, "${")
	if !ok {
		return s
	}
	expr = strings.TrimSuffix(expr, "}")
	switch expr {
	case "node.unique.id":
		return n.ID
	case "node.unique.name":
		return n.Name
	case "node.datacenter":
		return n.Datacenter
	case "node.region":
		return region
	case "node.class":
		return n.NodeClass
	case "node.pool":
		return n.NodePool
	}
	if key, ok := strings.CutPrefix(expr, "meta."); ok {
		return n.Meta[key]
	}
	if key, ok := strings.CutPrefix(expr, "attr."); ok {
		return n.Attributes[key]
	}
	return ""
}
