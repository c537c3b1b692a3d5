package nomadtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

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

// introduction makes a token that nobody could verify: it is known by heart.
func (s *Server) introduction() http.HandlerFunc {
	serve := s.api(func(r request) (reply, error) {
		var in struct {
			NodeName, NodePool string
			TTL                json.RawMessage
		}
		if err := s.writes(r, &in, writeNode); err != nil {
			return reply{}, err
		}
		ttl, err := lifetime(in.TTL)
		if err != nil {
			return reply{}, err
		}
		if in.NodePool == "" {
			in.NodePool = "default"
		}
		claims := map[string]any{
			"aud": "nomadproject.io", "jti": newID(), "iat": time.Now().Unix(),
			"nomad_node_name": in.NodeName, "nomad_node_pool": in.NodePool,
			"sub": fmt.Sprintf("node-introduction:%s:%s:%s:default", region, in.NodePool, in.NodeName),
		}
		if ttl > 0 { // a negative one never expires, as on a real server
			claims["exp"] = time.Now().Add(ttl).Unix()
		}
		b, err := json.Marshal(claims)
		if err != nil {
			return reply{}, err
		}
		b64 := base64.RawURLEncoding.EncodeToString
		token := b64([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + b64(b) + "." + b64([]byte("unsigned"))
		s.intros[token] = nodeName{in.NodeName, in.NodePool}
		return reply{body: map[string]string{"JWT": token}}, nil
	})
	return func(w http.ResponseWriter, r *http.Request) {
		if s.NoIntroduction {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		serve(w, r)
	}
}

// lifetime reads a TTL, which may be a number of nanoseconds or a text. What is
// above the maximum is shortened without a word.
func lifetime(raw json.RawMessage) (time.Duration, error) {
	const usual, most = 5 * time.Minute, 30 * time.Minute
	var ns int64
	var text string
	switch {
	case len(raw) == 0:
		return usual, nil
	case json.Unmarshal(raw, &ns) == nil:
	case json.Unmarshal(raw, &text) == nil:
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, refuse(http.StatusBadRequest, "%v", err)
		}
		ns = int64(d)
	}
	if ns == 0 {
		return usual, nil
	}
	return min(time.Duration(ns), most), nil
}
