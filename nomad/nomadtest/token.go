package nomadtest

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/nomad/api"
)

// token is one ACL token and what it allows, found out when it is first used and
// forgotten when a policy changes.
type token struct {
	*api.ACLToken
	rules *rules
}

func (t *token) expired(now time.Time) bool {
	return t.ExpirationTime != nil && !now.Before(*t.ExpirationTime)
}

var anonymous = api.ACLToken{AccessorID: "anonymous", Name: "Anonymous Token", Type: "client", Policies: []string{"anonymous"}}

// bootstrap makes the first token, with a secret of the caller's own if it gives
// one. Nobody needs a token for it, and it can be done once.
func (s *Server) bootstrap(r request) (reply, error) {
	if !r.writes() {
		return reply{}, errMethod
	}
	var in struct{ BootstrapSecret string }
	if len(r.data) > 0 {
		if err := r.decode(&in); err != nil {
			return reply{}, err
		}
	}
	switch {
	case !s.secured():
		return reply{}, refuse(http.StatusBadRequest, "ACL support disabled")
	case s.bootstrapped > 0:
		return reply{}, refuse(http.StatusBadRequest, "ACL bootstrap already done (reset index: %d)", s.bootstrapped)
	case in.BootstrapSecret != "" && !isUUID(in.BootstrapSecret):
		return reply{}, refuse(http.StatusBadRequest, "invalid acl token")
	}
	t := s.firstToken(in.BootstrapSecret)
	return reply{index: s.index, body: t}, nil
}

// firstToken makes the management token that everything begins with.
func (s *Server) firstToken(secret string) *api.ACLToken {
	if secret == "" {
		secret = newID()
	}
	t := &api.ACLToken{
		AccessorID: newID(), SecretID: secret, Name: "Bootstrap Token", Type: "management", Global: true,
		CreateTime: time.Now().UTC(), CreateIndex: s.index + 1,
	}
	s.keepToken(t)
	s.bootstrapped = s.index
	return t
}

func (s *Server) keepToken(t *api.ACLToken) {
	t.ModifyIndex = s.index + 1
	s.tokens[t.SecretID] = &token{ACLToken: t}
	s.publish([]table{tokenTable})
}

func isUUID(s string) bool {
	var a, b, c, d, e uint64
	n, err := fmt.Sscanf(s, "%8x-%4x-%4x-%4x-%12x", &a, &b, &c, &d, &e)
	return err == nil && n == 5 && len(s) == 36
}

func (s *Server) tokenSelf(r request) (reply, error) {
	if r.Method != http.MethodGet {
		return reply{}, errMethod
	}
	if !s.secured() {
		return reply{read: true, body: api.ACLToken{AccessorID: "acls-disabled", Name: "ACLs disabled token", Type: "client"}}, nil
	}
	a, err := s.access(r.Request)
	if err != nil {
		return reply{}, err
	}
	return reply{index: a.token.ModifyIndex, read: true, body: a.token.ACLToken}, nil
}

func (s *Server) listTokens(r request) (reply, error) {
	if err := s.reads(r, management); err != nil {
		return reply{}, err
	}
	out := []*api.ACLTokenListStub{}
	for _, t := range s.tokensInOrder() {
		out = append(out, &api.ACLTokenListStub{
			AccessorID: t.AccessorID, Name: t.Name, Type: t.Type, Policies: t.Policies, Global: t.Global,
			CreateTime: t.CreateTime, ExpirationTime: t.ExpirationTime, CreateIndex: t.CreateIndex, ModifyIndex: t.ModifyIndex,
		})
	}
	return s.read(out, tokenTable)
}

func (s *Server) tokensInOrder() []*token {
	out := []*token{}
	for _, t := range s.tokens {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *token) int { return int(a.CreateIndex) - int(b.CreateIndex) })
	return out
}

// byAccessor returns the token with that accessor, nil without one.
func (s *Server) byAccessor(id string) *token {
	for _, t := range s.tokens {
		if t.AccessorID == id {
			return t
		}
	}
	return nil
}

func (s *Server) oneToken(r request) (reply, error) {
	id := r.PathValue("id")
	switch {
	case r.writes():
		return s.writeToken(r)
	case r.Method == http.MethodDelete:
		return s.deleteToken(r, id)
	case r.Method != http.MethodGet:
		return reply{}, errMethod
	}
	// A token may be read by its own bearer, too.
	own := func(a access, _ string) bool { return a.all || (a.token != nil && a.token.AccessorID == id) }
	if err := s.want(r, own); err != nil {
		return reply{}, err
	}
	if len(id) != 36 {
		return reply{}, refuse(http.StatusInternalServerError, "acl token lookup failed: index error: UUID must be 36 characters")
	}
	t := s.byAccessor(id)
	if t == nil {
		return s.missing(tokenTable, "ACL token")
	}
	return reply{body: t.ACLToken, index: t.ModifyIndex, read: true}, nil
}

func (s *Server) deleteToken(r request, id string) (reply, error) {
	if err := s.want(r, management); err != nil {
		return reply{}, err
	}
	t := s.byAccessor(id)
	if t == nil {
		return reply{}, refuse(http.StatusBadRequest, "Cannot delete nonexistent tokens: %s", id)
	}
	delete(s.tokens, t.SecretID)
	s.publish([]table{tokenTable})
	return reply{index: s.index}, nil
}

// How long a token that expires may and must live.
const shortestToken, longestToken = time.Minute, 24 * time.Hour

// writeToken makes a token, or changes the one with the accessor in the path.
func (s *Server) writeToken(r request) (reply, error) {
	var t api.ACLToken
	if err := s.writes(r, &t, management); err != nil {
		return reply{}, err
	}
	if id := r.PathValue("id"); id != "" && t.AccessorID != id {
		return reply{}, refuse(http.StatusBadRequest, "Token accessor ID does not match request path")
	}
	now := time.Now().UTC()
	fault := ""
	switch {
	case t.Type != "client" && t.Type != "management":
		fault = "token type must be client or management"
	case t.Type == "client" && len(t.Policies) == 0:
		fault = "client token missing policies or roles"
	case t.Type == "management" && len(t.Policies) > 0:
		fault = "management token cannot be associated with policies or roles"
	}
	switch ttl := t.ExpirationTTL; {
	case fault != "" || ttl == 0:
	case ttl < shortestToken:
		fault = fmt.Sprintf("expiration time cannot be less than %s in the future (was %s)", shortestToken, ttl)
	case ttl > longestToken:
		fault = fmt.Sprintf("expiration time cannot be more than %s in the future (was %s)", longestToken, ttl)
	default:
		end := now.Add(ttl)
		t.ExpirationTime = &end
	}
	if fault != "" {
		return reply{}, refuse(http.StatusBadRequest, "token 0 invalid: 1 error occurred:\n\t* %s\n\n", fault)
	}
	old := s.byAccessor(t.AccessorID)
	switch {
	case old != nil:
		t.SecretID, t.CreateTime, t.CreateIndex = old.SecretID, old.CreateTime, old.CreateIndex
		t.ExpirationTTL, t.ExpirationTime = old.ExpirationTTL, old.ExpirationTime
	case t.AccessorID != "" && t.SecretID == "":
		return reply{}, refuse(http.StatusNotFound, "cannot find token %s", t.AccessorID)
	default:
		// A secret of the caller's own is taken with an accessor of its own alone.
		if t.AccessorID == "" {
			t.AccessorID, t.SecretID = newID(), newID()
		}
		t.CreateTime, t.CreateIndex = now, s.index+1
	}
	s.keepToken(&t)
	return reply{index: s.index, body: &t}, nil
}
