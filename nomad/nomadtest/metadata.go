package nomadtest

import (
	"cmp"
	"maps"
	"net/http"
	"time"

	"github.com/hashicorp/nomad/api"
)

// clientMetadata answers with a node's metadata as the client knows it, and
// changes it. The server, and so the scheduler, hears of a change MetaLag later.
func (s *Server) clientMetadata(r request) (reply, error) {
	var in api.NodeMetaApplyRequest
	need := readNode
	switch {
	case r.writes():
		if err := r.decode(&in); err != nil {
			return reply{}, err
		}
		need = writeNode
	case r.Method != http.MethodGet:
		return reply{}, errMethod
	}
	id := cmp.Or(r.FormValue("node_id"), in.NodeID)
	if id == "" {
		return reply{}, refuse(http.StatusBadRequest, "No local Node and node_id not provided")
	}
	if err := s.want(r, need); err != nil {
		return reply{}, err
	}
	n := s.nodes[id]
	switch {
	case n == nil:
		return reply{}, refuse(http.StatusInternalServerError, "Unknown node %s", id)
	case n.Status == api.NodeStatusDown:
		return reply{}, refuse(http.StatusNotFound, "No path to node")
	}
	if _, ok := in.Meta[""]; ok {
		return reply{}, refuse(http.StatusBadRequest, "metadata keys must not be empty")
	}
	if r.writes() {
		dynamic := map[string]*string{}
		maps.Copy(dynamic, n.dynamic)
		maps.Copy(dynamic, in.Meta)
		n.dynamic = dynamic
		meta := n.meta()
		tell := func() {
			s.changeNode(n, "NodeRegistration", func(n *api.Node) { n.Meta = meta })
			s.unblock()
		}
		if s.MetaLag == 0 {
			tell()
		} else {
			time.AfterFunc(s.MetaLag, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.nodes[id] == n { // it has not registered anew
					tell()
				}
			})
		}
	}
	return reply{body: map[string]any{"Dynamic": n.dynamic, "Meta": n.meta(), "Static": n.static}}, nil
}

// meta is what the node has of its own with what was set over the API, where null
// takes a key away.
func (n *node) meta() map[string]string {
	out := map[string]string{}
	maps.Copy(out, n.static)
	for k, v := range n.dynamic {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = *v
		}
	}
	return out
}
