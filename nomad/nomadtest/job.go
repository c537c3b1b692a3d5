package nomadtest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
)

// find returns the wanted allocations in the order of their creation.
func (s *Server) find(want func(*api.Allocation) bool) []*api.Allocation {
	out := []*api.Allocation{}
	for _, a := range s.allocs {
		if want(a) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *api.Allocation) int {
		return cmp.Or(cmp.Compare(a.CreateIndex, b.CreateIndex), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func of(j *api.Job) func(*api.Allocation) bool {
	return func(a *api.Allocation) bool { return a.JobID == *j.ID && a.Namespace == *j.Namespace }
}

func alive(nodeID string) func(*api.Allocation) bool {
	return func(a *api.Allocation) bool { return a.NodeID == nodeID && !terminal(a) }
}

func (s *Server) job(r request) *api.Job { return s.jobs[name{r.namespace, r.PathValue("id")}] }

func (s *Server) listOrRegister(r request) (reply, error) {
	switch {
	case r.writes():
		return s.register(r)
	case r.Method != http.MethodGet:
		return reply{}, errMethod
	}
	if err := s.want(r, may("list-jobs")); err != nil {
		return reply{}, err
	}
	a, err := s.access(r.Request)
	if err != nil {
		return reply{}, err
	}
	out := []*api.JobListStub{}
	for _, key := range slices.SortedFunc(maps.Keys(s.jobs), func(a, b name) int { return strings.Compare(a.id, b.id) }) {
		if (r.namespace != "*" && key.namespace != r.namespace) || !strings.HasPrefix(key.id, r.FormValue("prefix")) ||
			!a.namespace(key.namespace, "list-jobs") {
			continue
		}
		j := s.jobs[key]
		out = append(out, &api.JobListStub{
			ID: *j.ID, ParentID: *j.ParentID, Name: *j.Name, Namespace: *j.Namespace, Datacenters: j.Datacenters,
			Type: *j.Type, Priority: *j.Priority, Periodic: j.IsPeriodic(), ParameterizedJob: j.IsParameterized(),
			Stop: *j.Stop, Status: *j.Status, StatusDescription: *j.StatusDescription, JobSummary: s.summary(j),
			CreateIndex: *j.CreateIndex, ModifyIndex: *j.ModifyIndex, JobModifyIndex: *j.JobModifyIndex, SubmitTime: *j.SubmitTime,
		})
	}
	return s.read(out, jobTable)
}

func (s *Server) register(r request) (reply, error) {
	var in api.JobRegisterRequest
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	job := in.Job
	switch {
	case job == nil:
		return reply{}, refuse(http.StatusBadRequest, "Job must be specified")
	case job.ID == nil || *job.ID == "":
		return reply{}, refuse(http.StatusBadRequest, "Job ID hasn't been provided")
	}
	canonical(job, r.namespace)
	if err := s.validate(job); err != nil {
		return reply{}, err
	}
	r.namespace = *job.Namespace
	if err := s.want(r, may("submit-job", "register-job")); err != nil {
		return reply{}, err
	}
	key := name{*job.Namespace, *job.ID}
	old := s.jobs[key]
	if in.EnforceIndex {
		switch {
		case in.JobModifyIndex == 0 && old != nil:
			return reply{}, refuse(http.StatusInternalServerError, "Enforcing job modify index 0: job already exists")
		case in.JobModifyIndex > 0 && old == nil:
			return reply{}, refuse(http.StatusInternalServerError,
				"Enforcing job modify index %d: job does not exist", in.JobModifyIndex)
		case old != nil && *old.JobModifyIndex != in.JobModifyIndex:
			return reply{}, refuse(http.StatusInternalServerError,
				"Enforcing job modify index %d: job exists with conflicting job modify index: %d", in.JobModifyIndex, *old.JobModifyIndex)
		}
	}
	eval := s.submit(job, old)
	at := *job.JobModifyIndex
	if eval == "" { // it waits for dispatches
		return reply{index: at, body: registered("", 0, at)}, nil
	}
	return reply{index: at, body: registered(eval, at, at)}, nil
}

// validate refuses what a server refuses, all of it at once.
func (s *Server) validate(job *api.Job) error {
	var faults []string
	if s.namespaces[*job.Namespace] == nil {
		faults = append(faults, fmt.Sprintf("job %q is in nonexistent namespace %q", *job.ID, *job.Namespace))
	}
	if s.pools[*job.NodePool] == nil {
		faults = append(faults, fmt.Sprintf("job %q is in nonexistent node pool %q", *job.ID, *job.NodePool))
	}
	if !slices.Contains([]string{api.JobTypeBatch, api.JobTypeSysbatch, api.JobTypeService, api.JobTypeSystem}, *job.Type) {
		faults = append(faults, fmt.Sprintf("Invalid job type: %q", *job.Type))
	}
	if len(job.TaskGroups) == 0 {
		faults = append(faults, "Missing job task groups")
	}
	for _, g := range job.TaskGroups {
		if len(g.Tasks) == 0 {
			faults = append(faults, fmt.Sprintf("Task group %s validation failed: Missing tasks for task group", *g.Name))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	count := "1 error"
	if len(faults) > 1 {
		count = fmt.Sprintf("%d errors", len(faults))
	}
	return refuse(http.StatusInternalServerError, "%s occurred:\n\t* %s\n\n", count, strings.Join(faults, "\n\t* "))
}

// submit keeps job, in place of old, and has it placed unless it waits for
// dispatches.
func (s *Server) submit(job, old *api.Job) (evalID string) {
	at, now := s.index+1, time.Now().UnixNano()
	created, number := at, uint64(0)
	if old != nil {
		created, number = *old.CreateIndex, *old.Version+1
	}
	status := "pending"
	if job.IsParameterized() {
		status = "running"
	}
	job.Status, job.Stop, job.SubmitTime, job.Version = &status, new(bool), &now, &number
	job.CreateIndex, job.ModifyIndex, job.JobModifyIndex = &created, &at, &at
	s.jobs[name{*job.Namespace, *job.ID}] = job
	if job.IsParameterized() {
		s.publish([]table{jobTable}, jobEvent(job, "JobRegistered"))
		return ""
	}
	eval := s.newEval(job, "job-register")
	s.publish([]table{jobTable, evalTable}, jobEvent(job, "JobRegistered"), evalEvent(eval, "JobRegistered"))
	s.schedule(job, eval)
	return eval.ID
}

func (s *Server) jobInfoOrStop(r request) (reply, error) {
	switch r.Method {
	case http.MethodGet:
		if err := s.want(r, may("read-job")); err != nil {
			return reply{}, err
		}
		if j := s.job(r); j != nil {
			return reply{body: j, index: *j.ModifyIndex, read: true}, nil
		}
		return s.missing(jobTable, "job")
	case http.MethodDelete:
		return s.deregister(r)
	}
	return reply{}, errMethod
}

// deregister answers 200 for a job that does not exist, too.
func (s *Server) deregister(r request) (reply, error) {
	out := map[string]any{
		"EvalCreateIndex": 0, "EvalID": "", "Index": 0, "JobModifyIndex": 0, "KnownLeader": false,
		"LastContact": 0, "NextToken": "", "VolumeEvalID": "", "VolumeEvalIndex": 0,
	}
	if err := s.want(r, may("submit-job", "deregister-job")); err != nil {
		return reply{}, err
	}
	j := s.job(r)
	if j == nil {
		return reply{body: out, index: s.index}, nil
	}
	for _, a := range s.find(of(j)) {
		if !terminal(a) {
			s.stopAlloc(a, "alloc not needed due to job update")
		}
	}
	stopped := s.changeJob(j, func(j *api.Job) {
		yes := true
		j.Stop = &yes
		dead := "dead"
		j.Status = &dead
		at := s.index + 1
		j.JobModifyIndex = &at
	})
	eval := s.newEval(stopped, "job-deregister")
	eval.Status = api.EvalStatusComplete
	s.publish([]table{jobTable, evalTable}, jobEvent(stopped, "JobDeregistered"), evalEvent(eval, "JobDeregistered"))
	if r.FormValue("purge") == "true" {
		s.collect(stopped)
	}
	out["EvalID"], out["EvalCreateIndex"], out["Index"], out["JobModifyIndex"] = eval.ID, s.index, s.index, s.index
	return reply{body: out, index: s.index}, nil
}

// changeJob replaces j by a changed copy, stamped with the next index.
func (s *Server) changeJob(j *api.Job, f func(*api.Job)) *api.Job {
	c := *j
	f(&c)
	at := s.index + 1
	c.ModifyIndex = &at
	s.jobs[name{*c.Namespace, *c.ID}] = &c
	return &c
}

// Collect forgets the job called id in the default namespace, with all that
// belongs to it, as the garbage collector does hours after its end.
func (s *Server) Collect(id string) {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[name{"default", id}]; j != nil {
		s.collect(j)
	}
}

func (s *Server) collect(j *api.Job) {
	delete(s.jobs, name{*j.Namespace, *j.ID})
	maps.DeleteFunc(s.evals, func(_ string, e *api.Evaluation) bool { return e.JobID == *j.ID && e.Namespace == *j.Namespace })
	maps.DeleteFunc(s.allocs, func(_ string, a *api.Allocation) bool { return a.JobID == *j.ID && a.Namespace == *j.Namespace })
	s.publish([]table{jobTable, evalTable, allocTable})
}

func (s *Server) jobAllocations(r request) (reply, error) {
	if err := s.reads(r, may("read-job")); err != nil {
		return reply{}, err
	}
	out := []*api.AllocationListStub{}
	for _, a := range s.find(func(a *api.Allocation) bool { return a.JobID == r.PathValue("id") && a.Namespace == r.namespace }) {
		out = append(out, a.Stub())
	}
	return s.read(out, allocTable)
}

func (s *Server) jobEvaluations(r request) (reply, error) {
	if err := s.reads(r, may("read-job")); err != nil {
		return reply{}, err
	}
	out := []*api.Evaluation{}
	for _, e := range s.evals {
		if e.JobID == r.PathValue("id") && e.Namespace == r.namespace {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *api.Evaluation) int { return int(a.CreateIndex) - int(b.CreateIndex) })
	return s.read(out, evalTable)
}

func (s *Server) jobSummary(r request) (reply, error) {
	if err := s.reads(r, may("read-job")); err != nil {
		return reply{}, err
	}
	j := s.job(r)
	if j == nil {
		return s.missing(jobTable, "job")
	}
	return s.read(s.summary(j), jobTable)
}

func (s *Server) summary(j *api.Job) *api.JobSummary {
	out := &api.JobSummary{
		JobID: *j.ID, Namespace: *j.Namespace, Summary: map[string]api.TaskGroupSummary{},
		Children: new(api.JobChildrenSummary), CreateIndex: *j.CreateIndex, ModifyIndex: *j.ModifyIndex,
	}
	for _, g := range j.TaskGroups {
		var sum api.TaskGroupSummary
		for _, a := range s.allocs {
			if a.JobID != *j.ID || a.Namespace != *j.Namespace || a.TaskGroup != *g.Name {
				continue
			}
			switch a.ClientStatus {
			case api.AllocClientStatusPending:
				sum.Starting++
			case api.AllocClientStatusRunning:
				sum.Running++
			case api.AllocClientStatusComplete:
				sum.Complete++
			case api.AllocClientStatusFailed:
				sum.Failed++
			case api.AllocClientStatusLost:
				sum.Lost++
			}
		}
		out.Summary[*g.Name] = sum
	}
	return out
}
