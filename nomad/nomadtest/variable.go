package nomadtest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
)

var validPath = regexp.MustCompile("^[a-zA-Z0-9-_~/]{1,128}$")

// maxVariable is the most that the keys and values of one variable may hold.
const maxVariable = 64 << 10

func (s *Server) listVariables(r request) (reply, error) {
	if r.Method != http.MethodGet {
		return reply{}, errMethod
	}
	a, err := s.access(r.Request)
	if err != nil {
		return reply{}, err
	}
	out := []*api.VariableMetadata{}
	for key, v := range s.variables {
		if (r.namespace == "*" || key.namespace == r.namespace) && strings.HasPrefix(key.id, r.FormValue("prefix")) &&
			a.variable(key.namespace, key.id, "list") {
			out = append(out, v.Metadata())
		}
	}
	slices.SortFunc(out, func(a, b *api.VariableMetadata) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Path, b.Path))
	})
	return s.read(out, variableTable)
}

// variable is a need of one capability on the variable that r is about.
func variable(path, capability string) need {
	return func(a access, namespace string) bool { return a.variable(namespace, path, capability) }
}

func (s *Server) oneVariable(r request) (reply, error) {
	path := r.PathValue("path")
	key := name{r.namespace, path}
	if path == "" {
		return reply{}, refuse(http.StatusBadRequest, "missing variable path")
	}
	switch {
	case r.writes():
		return s.writeVariable(r, key)
	case r.Method == http.MethodDelete:
		if err := s.want(r, variable(path, "destroy")); err != nil {
			return reply{}, err
		}
		if err := s.checkAndSet(r, key); err != nil {
			return reply{}, err
		}
		delete(s.variables, key)
		s.publish([]table{variableTable})
		return reply{code: http.StatusNoContent, index: s.index}, nil
	case r.Method != http.MethodGet:
		return reply{}, refuse(http.StatusBadRequest, "Invalid method")
	}
	if err := s.want(r, variable(path, "read")); err != nil {
		return reply{}, err
	}
	v := s.variables[key]
	if v == nil {
		return s.missing(variableTable, "variable")
	}
	return reply{body: v, index: v.ModifyIndex, read: true}, nil
}

func (s *Server) writeVariable(r request, key name) (reply, error) {
	var in api.Variable
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	size := 0
	for k, v := range in.Items {
		size += len(k) + len(v)
	}
	lock := r.URL.Query()
	switch {
	case lock.Has("lock-acquire") || lock.Has("lock-renew") || lock.Has("lock-release"):
		return reply{}, refuse(http.StatusNotImplemented, "the simulator has no locks")
	case len(in.Items) == 0:
		return reply{}, refuse(http.StatusBadRequest, "variable missing required Items object")
	case !validPath.MatchString(key.id):
		return reply{}, refuse(http.StatusBadRequest, "RPC Error:: 400,invalid path %q", key.id)
	case size > maxVariable:
		return reply{}, refuse(http.StatusBadRequest, "RPC Error:: 400,variables are limited to 64KiB in total size")
	}
	if err := s.want(r, variable(key.id, "write")); err != nil {
		return reply{}, err
	}
	if err := s.checkAndSet(r, key); err != nil {
		return reply{}, err
	}
	now := time.Now().UnixNano()
	v := &api.Variable{
		Namespace: key.namespace, Path: key.id, Items: in.Items,
		CreateIndex: s.index + 1, ModifyIndex: s.index + 1, CreateTime: now, ModifyTime: now,
	}
	if old := s.variables[key]; old != nil {
		v.CreateIndex, v.CreateTime = old.CreateIndex, old.CreateTime
	}
	s.variables[key] = v
	s.publish([]table{variableTable})
	return reply{body: v, index: s.index}, nil
}

// checkAndSet refuses a write whose cas is not the variable's index: 0 wants none.
// The refusal carries the variable as it is.
func (s *Server) checkAndSet(r request, key name) error {
	text := r.FormValue("cas")
	if text == "" {
		return nil
	}
	want, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return refuse(http.StatusBadRequest, "can not parse cas: %v", err)
	}
	is := &api.Variable{Namespace: key.namespace, Path: key.id}
	if v := s.variables[key]; v != nil {
		c := *v
		is = &c
	}
	if is.ModifyIndex == want {
		return nil
	}
	if s.want(r, variable(key.id, "read")) != nil {
		is.Items = nil
	}
	body, err := json.Marshal(is)
	if err != nil {
		return err
	}
	return refusal{code: http.StatusConflict, text: string(body), index: is.ModifyIndex}
}
