package nomadtest

import (
	"encoding/json"
	"net/http"

	"github.com/hashicorp/nomad/api"
)

// jobPlan says what a registration would change. The difference is told as a
// whole: None, Added or Edited, without its fields.
func (s *Server) jobPlan(r request) (reply, error) {
	var in api.JobPlanRequest
	if !r.writes() {
		return reply{}, errMethod
	}
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	job := in.Job
	switch {
	case job == nil:
		return reply{}, refuse(http.StatusBadRequest, "Job must be specified")
	case job.ID == nil || *job.ID == "":
		return reply{}, refuse(http.StatusBadRequest, "Job must have a valid ID")
	case *job.ID != r.PathValue("id"):
		return reply{}, refuse(http.StatusBadRequest, "Job ID does not match")
	}
	canonical(job, r.namespace)
	if err := s.validate(job); err != nil {
		return reply{}, err
	}
	r.namespace = *job.Namespace
	if err := s.want(r, may("submit-job", "plan-job")); err != nil {
		return reply{}, err
	}
	old := s.jobs[name{*job.Namespace, *job.ID}]
	diff := &api.JobDiff{Type: "None", ID: *job.ID}
	at := uint64(0)
	switch {
	case old == nil:
		diff.Type = "Added"
	case !same(old, job):
		diff.Type = "Edited"
		fallthrough
	default:
		at = *old.JobModifyIndex
	}
	out := map[string]any{"JobModifyIndex": at, "Warnings": "", "FailedTGAllocs": nil, "CreatedEvals": []any{}, "Annotations": nil}
	if in.Diff {
		out["Diff"] = diff
	}
	return reply{body: out, index: at}, nil
}

// canonical fills in what a registration leaves to the library and the server.
func canonical(job *api.Job, namespace string) {
	if job.Namespace == nil || *job.Namespace == "" {
		job.Namespace = &namespace
	}
	job.Canonicalize()
	if len(job.Datacenters) == 0 {
		job.Datacenters = []string{"*"}
	}
	if *job.NodePool == "" {
		job.NodePool = new(api.NodePoolDefault)
	}
}

// same reports whether two jobs want the same: all but what the server
// writes into them.
func same(a, b *api.Job) bool {
	text := func(j *api.Job) string {
		c := *j
		c.Status, c.StatusDescription, c.Stable, c.Version, c.SubmitTime = nil, nil, nil, nil, nil
		c.CreateIndex, c.ModifyIndex, c.JobModifyIndex = nil, nil, nil
		c.Stop = nil
		out, err := json.Marshal(c)
		if err != nil {
			panic("nomadtest: " + err.Error()) // the library's own types: cannot fail
		}
		return string(out)
	}
	return text(a) == text(b)
}
