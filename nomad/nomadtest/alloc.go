package nomadtest

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/hashicorp/nomad/api"
)

func (s *Server) allocInfo(r request) (reply, error) {
	if err := s.reads(r, may("read-job")); err != nil {
		return reply{}, err
	}
	a := s.allocs[r.PathValue("id")]
	if a == nil {
		return s.missing(allocTable, "alloc")
	}
	return reply{body: a, index: a.ModifyIndex, read: true}, nil
}

func (s *Server) evalInfo(r request) (reply, error) {
	if err := s.reads(r, may("read-job")); err != nil {
		return reply{}, err
	}
	e := s.evals[r.PathValue("id")]
	if e == nil {
		return s.missing(evalTable, "eval")
	}
	return reply{body: e, index: e.ModifyIndex, read: true}, nil
}

// taskLog answers with what a task has written so far, plain or in one frame. It
// does not follow.
func (s *Server) taskLog(r request) (reply, error) {
	if r.Method != http.MethodGet {
		return reply{}, errMethod
	}
	task, stream := r.FormValue("task"), r.FormValue("type")
	if task == "" {
		return reply{}, refuse(http.StatusBadRequest, "must provide task name")
	}
	if stream != "stdout" && stream != "stderr" {
		return reply{}, refuse(http.StatusBadRequest, "must provide log type (stdout/stderr)")
	}
	id := r.PathValue("id")
	a := s.allocs[id]
	if a == nil {
		return reply{}, refuse(http.StatusNotFound, "Unknown allocation %q", id)
	}
	// The refusal comes through another server or the client: not as a 403.
	r.namespace = a.Namespace
	if s.want(r, may("read-logs", "read-fs")) != nil {
		return reply{}, refuse(http.StatusInternalServerError, "Permission denied")
	}
	switch {
	case a.TaskStates[task] == nil:
		return reply{}, refuse(http.StatusNotFound, "unknown task name %q", task)
	case a.TaskStates[task].StartedAt.IsZero():
		return reply{}, refuse(http.StatusNotFound, "task %q not started yet. No logs available", task)
	}
	if n := s.nodes[a.NodeID]; n == nil || n.Status == api.NodeStatusDown {
		return reply{}, refuse(http.StatusNotFound, "No path to node")
	}
	text := s.output[id+"/"+task+"/"+stream]
	offset, _ := strconv.Atoi(r.FormValue("offset"))
	if r.FormValue("origin") == "end" {
		offset = max(0, len(text)-offset)
	}
	text = text[min(max(0, offset), len(text)):]
	if r.FormValue("plain") == "true" {
		return reply{body: append([]byte{}, text...)}, nil
	}
	frame, err := json.Marshal(map[string]any{
		"Data": text, "File": "alloc/logs/" + task + "." + stream + ".0", "Offset": len(text),
	})
	return reply{body: json.RawMessage(frame)}, err
}
