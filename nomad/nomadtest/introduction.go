package nomadtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// claims are what an introduction token says.
type claims struct {
	Audience string `json:"aud"`
	ID       string `json:"jti"`
	Issued   int64  `json:"iat"`
	Expires  int64  `json:"exp,omitempty"` // never when 0
	Name     string `json:"nomad_node_name"`
	Pool     string `json:"nomad_node_pool"`
	Subject  string `json:"sub"`
}

// leeway is how long a token is taken after its end, for clocks that differ.
const leeway = time.Minute

// introduction makes a token. A real one is signed with the cluster's RSA key,
// which nobody but its servers verifies either.
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
		now := time.Now()
		c := claims{
			Audience: "nomadproject.io", ID: newID(), Issued: now.Unix(), Name: in.NodeName, Pool: in.NodePool,
			Subject: fmt.Sprintf("node-introduction:%s:%s:%s:default", region, in.NodePool, in.NodeName),
		}
		if ttl > 0 { // a negative one never expires, as on a real server
			c.Expires = now.Add(ttl).Unix()
		}
		b, err := json.Marshal(c)
		if err != nil {
			return reply{}, err
		}
		b64 := base64.RawURLEncoding.EncodeToString
		text := b64([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64(b)
		return reply{body: map[string]string{"JWT": text + "." + b64(s.sign(text))}}, nil
	})
	return func(w http.ResponseWriter, r *http.Request) {
		if s.NoIntroduction {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		serve(w, r)
	}
}

func (s *Server) sign(text string) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// introduced reports whether jwt introduces the machine.
func (s *Server) introduced(jwt, name, pool string, now time.Time) bool {
	end := strings.LastIndexByte(jwt, '.')
	if end < 0 {
		return false
	}
	text := jwt[:end]
	mac, err := base64.RawURLEncoding.DecodeString(jwt[end+1:])
	if err != nil || !hmac.Equal(mac, s.sign(text)) {
		return false
	}
	_, payload, _ := strings.Cut(text, ".")
	b, err := base64.RawURLEncoding.DecodeString(payload)
	var c claims
	if err != nil || json.Unmarshal(b, &c) != nil {
		return false
	}
	fresh := c.Expires == 0 || now.Before(time.Unix(c.Expires, 0).Add(leeway))
	return fresh && c.Pool == pool && (c.Name == name || c.Name == "")
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
