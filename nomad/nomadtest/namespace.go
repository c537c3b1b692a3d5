package nomadtest

import (
	"maps"
	"net/http"
	"regexp"
	"slices"

	"github.com/hashicorp/nomad/api"
)

func (s *Server) listNamespaces(r request) (reply, error) {
	if r.Method != http.MethodGet {
		return reply{}, errMethod
	}
	a, err := s.access(r.Request)
	if err != nil {
		return reply{}, err
	}
	out := []*api.Namespace{}
	for _, name := range slices.Sorted(maps.Keys(s.namespaces)) {
		if a.knows(name) {
			out = append(out, s.namespaces[name])
		}
	}
	return s.read(out, namespaceTable)
}

// knows reports whether the bearer may do anything at all in a namespace, and so
// may see it.
func (a access) knows(namespace string) bool {
	if a.all {
		return true
	}
	g, ok := closest(a.rules.namespaces, namespace)
	return ok && !g.empty()
}

func (s *Server) oneNamespace(r request) (reply, error) {
	name := r.PathValue("name")
	switch {
	case r.writes():
		return s.writeNamespace(r)
	case r.Method == http.MethodDelete:
		return s.deleteNamespace(r, name)
	case r.Method != http.MethodGet:
		return reply{}, errMethod
	}
	if err := s.want(r, func(a access, _ string) bool { return a.knows(name) }); err != nil {
		return reply{}, err
	}
	n := s.namespaces[name]
	if n == nil {
		return s.missing(namespaceTable, "Namespace")
	}
	return reply{body: n, index: n.ModifyIndex, read: true}, nil
}

var validNewNamespace = regexp.MustCompile("^[a-zA-Z0-9-]{1,128}$")

func (s *Server) writeNamespace(r request) (reply, error) {
	var in api.Namespace
	if err := s.writes(r, &in, management); err != nil {
		return reply{}, err
	}
	switch name := r.PathValue("name"); {
	case name != "" && in.Name != name:
		return reply{}, refuse(http.StatusBadRequest, "Namespace name does not match request path")
	case !validNewNamespace.MatchString(in.Name):
		return reply{}, refuse(http.StatusInternalServerError,
			"Invalid namespace %q: 1 error occurred:\n\t* invalid name %q. Must match regex %s\n\n", in.Name, in.Name, validNewNamespace)
	}
	in.CreateIndex, in.ModifyIndex = s.index+1, s.index+1
	if old := s.namespaces[in.Name]; old != nil {
		in.CreateIndex = old.CreateIndex
	}
	s.namespaces[in.Name] = &in
	s.publish([]table{namespaceTable})
	return reply{index: s.index}, nil
}

func (s *Server) deleteNamespace(r request, name string) (reply, error) {
	if err := s.want(r, management); err != nil {
		return reply{}, err
	}
	switch {
	case name == "default":
		return reply{}, refuse(http.StatusInternalServerError, "can not delete default namespace")
	case s.namespaces[name] == nil:
		return reply{}, refuse(http.StatusInternalServerError, "namespace not found")
	}
	for _, j := range s.jobs {
		if *j.Namespace == name && *j.Status != "dead" {
			return reply{}, refuse(http.StatusInternalServerError, "namespace %q has non-terminal jobs in regions: [%s]", name, region)
		}
	}
	delete(s.namespaces, name)
	s.publish([]table{namespaceTable})
	return reply{index: s.index}, nil
}
