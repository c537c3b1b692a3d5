package nomadtest

import (
	"fmt"
	"net/http"
	"time"
)

// access is what the bearer of a token may do.
type access struct {
	all   bool // a management token, or ACLs are off
	token *token
	rules *rules
}

// need is what a call asks of its bearer, in the namespace of the request.
type need func(a access, namespace string) bool

func management(a access, _ string) bool { return a.all }

// level is a need of agent, node or operator at read or write.
func level(kind, want string) need {
	return func(a access, _ string) bool { return a.all || a.rules.allowsLevel(kind, want) }
}

// may is a need of one of the capabilities in the request's namespace; in "*", in
// any of them.
func may(capabilities ...string) need {
	return func(a access, namespace string) bool {
		for _, c := range capabilities {
			if a.namespace(namespace, c) {
				return true
			}
		}
		return false
	}
}

func (a access) namespace(name, capability string) bool {
	if a.all {
		return true
	}
	if name == "*" {
		for _, g := range a.rules.namespaces {
			if g.allows(capability) {
				return true
			}
		}
		return false
	}
	g, ok := closest(a.rules.namespaces, name)
	return ok && g.allows(capability)
}

func (a access) pool(name, capability string) bool {
	if a.all {
		return true
	}
	g, ok := closest(a.rules.pools, name)
	return ok && g.allows(capability)
}

func (a access) variable(namespace, path, capability string) bool {
	if a.all {
		return true
	}
	paths, ok := closest(a.rules.variables, namespace)
	if !ok {
		return false
	}
	g, ok := closest(paths, path)
	return ok && g.allows(capability)
}

var (
	readNode  = level("node", "read")
	writeNode = level("node", "write")
)

// secured reports whether ACLs are on.
func (s *Server) secured() bool { return s.ACL || s.Token != "" }

// access returns what r's token allows; without a token that is what the policy
// called anonymous does. Callers hold the lock.
func (s *Server) access(r *http.Request) (access, error) {
	if !s.secured() {
		return access{all: true}, nil
	}
	secret := r.Header.Get("X-Nomad-Token")
	if secret == "" {
		fmt.Sscanf(r.Header.Get("Authorization"), "Bearer %s", &secret)
	}
	t := &token{ACLToken: &anonymous}
	if secret != "" {
		t = s.tokens[secret]
	}
	if t == nil || t.expired(time.Now()) {
		return access{}, errDenied
	}
	if t.rules == nil {
		t.rules = newRules()
		for _, name := range t.Policies {
			if p := s.policies[name]; p != nil && p.JobACL == nil {
				t.rules.merge(p.rules)
			}
		}
	}
	return access{all: t.Type == "management", token: t, rules: t.rules}, nil
}

// want refuses the request unless its bearer may do what n asks.
func (s *Server) want(r request, n need) error {
	a, err := s.access(r.Request)
	if err == nil && !n(a, r.namespace) {
		err = errDenied
	}
	return err
}

// reads refuses r unless it is a read that its bearer may make.
func (s *Server) reads(r request, n need) error {
	if r.Method != http.MethodGet {
		return errMethod
	}
	return s.want(r, n)
}

// writes refuses r unless it is a write that its bearer may make; its body is
// decoded first where v is not nil.
func (s *Server) writes(r request, v any, n need) error {
	if !r.writes() {
		return errMethod
	}
	if v != nil {
		if err := r.decode(v); err != nil {
			return err
		}
	}
	return s.want(r, n)
}
