package nomadtest

import (
	"maps"
	"net/http"
	"regexp"
	"slices"

	"github.com/hashicorp/nomad/api"
)

// policy is one ACL policy, read.
type policy struct {
	*api.ACLPolicy
	rules *rules
}

func (s *Server) listPolicies(r request) (reply, error) {
	if r.Method != http.MethodGet {
		return reply{}, errMethod
	}
	a, err := s.access(r.Request)
	if err != nil {
		return reply{}, err
	}
	out := []*api.ACLPolicyListStub{}
	for _, name := range slices.Sorted(maps.Keys(s.policies)) {
		if !a.holds(name) {
			continue
		}
		p := s.policies[name]
		out = append(out, &api.ACLPolicyListStub{
			Name: p.Name, Description: p.Description, JobACL: p.JobACL, CreateIndex: p.CreateIndex, ModifyIndex: p.ModifyIndex,
		})
	}
	return s.read(out, policyTable)
}

// holds reports whether the bearer may read the policy: it is one of its own.
func (a access) holds(name string) bool {
	return a.all || slices.Contains(a.token.Policies, name)
}

func (s *Server) onePolicy(r request) (reply, error) {
	name := r.PathValue("name")
	switch {
	case name == "":
		return reply{}, refuse(http.StatusBadRequest, "Missing Policy Name")
	case r.writes():
		return s.writePolicy(r, name)
	case r.Method == http.MethodDelete:
		if err := s.want(r, management); err != nil {
			return reply{}, err
		}
		delete(s.policies, name) // one that is not there is deleted, too
		return s.policiesChanged()
	case r.Method != http.MethodGet:
		return reply{}, errMethod
	}
	if err := s.want(r, func(a access, _ string) bool { return a.holds(name) }); err != nil {
		return reply{}, err
	}
	p := s.policies[name]
	if p == nil {
		return s.missing(policyTable, "ACL policy")
	}
	return reply{body: p.ACLPolicy, index: p.ModifyIndex, read: true}, nil
}

var validPolicy = regexp.MustCompile("^[a-zA-Z0-9-]{1,128}$")

func (s *Server) writePolicy(r request, name string) (reply, error) {
	var in api.ACLPolicy
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Name != name {
		return reply{}, refuse(http.StatusBadRequest, "ACL policy name does not match request path")
	}
	if err := s.want(r, management); err != nil {
		return reply{}, err
	}
	fault := func(format string, args ...any) (reply, error) {
		return reply{}, refuse(http.StatusBadRequest, "policy 0 invalid: 1 error occurred:\n\t* "+format+"\n\n", args...)
	}
	read, wrong := parseRules(in.Rules)
	switch job := in.JobACL; {
	case !validPolicy.MatchString(name):
		return fault("invalid name '%s'", name)
	case wrong != "":
		return fault("failed to parse rules: %s", wrong)
	case job == nil:
	case job.Namespace == "" && job.JobID != "":
		return fault("namespace must be set to set job ID")
	case job.JobID == "" && job.Group != "":
		return fault("job ID must be set to set group")
	case job.Group == "" && job.Task != "":
		return fault("group must be set to set task")
	}
	in.CreateIndex, in.ModifyIndex = s.index+1, s.index+1
	if old := s.policies[name]; old != nil {
		in.CreateIndex = old.CreateIndex
	}
	s.policies[name] = &policy{&in, read}
	return s.policiesChanged()
}

// policiesChanged publishes the change: what tokens allow is found out anew.
func (s *Server) policiesChanged() (reply, error) {
	for _, t := range s.tokens {
		t.rules = nil
	}
	s.publish([]table{policyTable})
	return reply{index: s.index}, nil
}
