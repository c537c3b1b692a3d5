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

// maxPayload is the most that a dispatch may carry, in bytes.
const maxPayload = 16 << 10

// jobDispatch makes a child of a parameterised job. The same idempotency token
// gives the same child, until that is collected.
func (s *Server) jobDispatch(r request) (reply, error) {
	var in api.JobDispatchRequest
	if err := s.writes(r, &in, may("dispatch-job")); err != nil {
		return reply{}, err
	}
	parent := s.job(r)
	if err := dispatchable(parent, in); err != nil {
		return reply{}, err
	}
	token := r.FormValue("idempotency_token")
	for _, j := range s.jobs {
		if token != "" && j.Dispatched && *j.ParentID == *parent.ID && *j.Namespace == *parent.Namespace && *j.DispatchIdempotencyToken == token {
			return reply{index: *j.CreateIndex, body: dispatched(j, "", 0)}, nil
		}
	}
	child := *parent
	id := *parent.ID + "/dispatch-" + strconv.FormatInt(time.Now().Unix(), 10) + "-" + newID()[:8]
	child.ID, child.Name, child.ParentID, child.Dispatched = &id, &id, parent.ID, true
	child.Payload, child.DispatchIdempotencyToken = in.Payload, &token
	child.Meta = map[string]string{}
	maps.Copy(child.Meta, parent.Meta)
	maps.Copy(child.Meta, in.Meta)
	eval := s.submit(&child, nil)
	return reply{index: s.index, body: dispatched(&child, eval, *child.CreateIndex)}, nil
}

func dispatched(child *api.Job, eval string, at uint64) map[string]any {
	return map[string]any{
		"DispatchedJobID": *child.ID, "EvalCreateIndex": at, "EvalID": eval, "Index": *child.CreateIndex,
		"JobCreateIndex": *child.CreateIndex,
	}
}

// dispatchable refuses what parent does not take.
func dispatchable(parent *api.Job, in api.JobDispatchRequest) error {
	no := func(format string, args ...any) error { return refuse(http.StatusInternalServerError, format, args...) }
	switch {
	case parent == nil:
		return no("parameterized job not found")
	case !parent.IsParameterized():
		return no("Specified job %q is not a parameterized job", *parent.ID)
	case *parent.Stop:
		return no("Specified job %q is stopped", *parent.ID)
	}
	takes := parent.ParameterizedJob
	switch {
	case len(in.Payload) > 0 && takes.Payload == "forbidden":
		return no("Payload provided but forbidden by parameterized job")
	case len(in.Payload) == 0 && takes.Payload == "required":
		return no("Payload is not provided but required by parameterized job")
	case len(in.Payload) > maxPayload:
		return no("Payload exceeds maximum size; %d > %d", len(in.Payload), maxPayload)
	}
	var missing, odd []string
	for _, k := range takes.MetaRequired {
		if _, ok := in.Meta[k]; !ok {
			missing = append(missing, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(in.Meta)) {
		if !slices.Contains(takes.MetaRequired, k) && !slices.Contains(takes.MetaOptional, k) {
			odd = append(odd, k)
		}
	}
	switch {
	case len(odd) > 0:
		return no("Dispatch request included unpermitted metadata keys: [%s]", strings.Join(odd, ", "))
	case len(missing) > 0:
		return no("Dispatch did not provide required meta keys: [%s]", strings.Join(missing, ", "))
	}
	return nil
}

// jobEvaluate has a job placed again, where it has not been.
func (s *Server) jobEvaluate(r request) (reply, error) {
	if !r.writes() {
		return reply{}, errMethod
	}
	var in struct{ JobID string }
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	switch in.JobID {
	case "":
		return reply{}, refuse(http.StatusBadRequest, "Job ID must be specified")
	case r.PathValue("id"):
	default:
		return reply{}, refuse(http.StatusBadRequest, "JobID not same as job name")
	}
	if err := s.want(r, may("submit-job", "evaluate-job")); err != nil {
		return reply{}, err
	}
	j := s.job(r)
	switch {
	case j == nil:
		return reply{}, refuse(http.StatusInternalServerError, "job not found")
	case j.IsParameterized():
		return reply{}, refuse(http.StatusInternalServerError, "can't evaluate parameterized job")
	}
	eval := s.newEval(j, "job-register")
	s.publish([]table{evalTable}, evalEvent(eval, "JobRegistered"))
	s.schedule(j, eval)
	return reply{index: s.index, body: registered(eval.ID, eval.CreateIndex, *j.JobModifyIndex)}, nil
}

// registered is the answer to what has made an evaluation.
func registered(eval string, at, job uint64) map[string]any {
	return map[string]any{
		"EvalCreateIndex": at, "EvalID": eval, "Index": max(at, job), "JobModifyIndex": job,
		"KnownLeader": false, "LastContact": 0, "NextToken": "", "Warnings": "",
	}
}
