package nomadtest

import "net/http"

const (
	region  = "global"
	version = "2.0.6"
)

func (s *Server) health(r request) (reply, error) {
	if r.Method != http.MethodGet {
		return reply{}, errMethod
	}
	if r.FormValue("type") == "client" {
		return reply{}, refuse(http.StatusInternalServerError, `{"client":{"ok":false,"message":"client not enabled"}}`)
	}
	return reply{body: map[string]any{"server": map[string]any{"message": "ok", "ok": true}}}, nil
}

func (s *Server) self(r request) (reply, error) {
	if err := s.reads(r, level("agent", "read")); err != nil {
		return reply{}, err
	}
	return reply{body: map[string]any{
		"config": map[string]any{
			"ACL": map[string]any{"Enabled": s.secured()}, "Region": region, "Datacenter": "dc1",
			"Version": map[string]any{"Version": version},
		},
		"member": s.members[0].wire(),
		"stats":  map[string]any{"nomad": map[string]any{"server": "true", "leader": "true"}},
	}}, nil
}
