package nomadtest

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// A server that ends and comes back knows all that it has answered.
func TestState(t *testing.T) {
	dir := t.TempDir()
	const id = "7a780c47-390f-e4db-6dd9-10096b4b2ac9"
	s := &Server{ACL: true, Dir: dir}
	c := cluster(t, s)
	root, _, err := c.ACLTokens().Bootstrap(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetSecretID(root.SecretID)
	if _, err := c.ACLPolicies().Upsert(&api.ACLPolicy{Name: "p", Rules: applianceRules}, nil); err != nil {
		t.Fatal(err)
	}
	made, _, err := c.ACLTokens().Create(&api.ACLToken{Type: "client", Policies: []string{"p"}, ExpirationTTL: time.Hour}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.NodePools().Register(&api.NodePool{Name: "gpu", Description: "d"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Variables().Create(&api.Variable{Path: "appliance/x", Items: api.VariableItems{"a": "b"}}, nil); err != nil {
		t.Fatal(err)
	}
	leave := join(t, s, &Client{Name: "host1", ID: id, Pool: "gpu", Meta: map[string]string{"rack": "r1"}})
	until(t, "host1 is ready", ready(c, "host1"))
	if _, err := c.Nodes().Meta().Apply(&api.NodeMetaApplyRequest{NodeID: id, Meta: map[string]*string{"more": new("x")}}, nil); err != nil {
		t.Fatal(err)
	}
	before := s.index
	leave()
	s.Close()

	s = &Server{ACL: true, Dir: dir}
	c = cluster(t, s)
	c.SetSecretID(made.SecretID)
	if _, _, err := c.ACLTokens().Bootstrap(nil); err == nil || !strings.Contains(err.Error(), "already done") {
		t.Errorf("a second bootstrap: %v, want a refusal", err)
	}
	self, _, err := c.ACLTokens().Self(nil)
	if err != nil || self.AccessorID != made.AccessorID || self.ExpirationTime == nil || !self.ExpirationTime.Equal(*made.ExpirationTime) {
		t.Errorf("the token is %+v, %v, want %+v", self, err, made)
	}
	node, meta, err := c.Nodes().Info(id, nil)
	if err != nil || node.NodePool != "gpu" || node.Meta["rack"] != "r1" || node.Meta["more"] != "x" {
		t.Errorf("the node is %+v, %v", node, err)
	}
	if meta != nil && s.index < before {
		t.Errorf("the index is %d, was %d before", s.index, before)
	}
	if pool, _, err := c.NodePools().Info("gpu", nil); err != nil || pool.Description != "d" {
		t.Errorf("the pool is %+v, %v", pool, err)
	}
	if v, _, err := c.Variables().Read("appliance/x", nil); err != nil || v.Items["a"] != "b" {
		t.Errorf("the variable is %+v, %v", v, err)
	}
}

// What cannot be kept is not promised.
func TestStateCannotBeKept(t *testing.T) {
	dir := t.TempDir()
	s := &Server{ACL: true, Dir: dir}
	c := cluster(t, s)
	if _, err := c.Status().Leader(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ACLTokens().Bootstrap(nil); err == nil || !strings.Contains(err.Error(), "keep the state in "+dir) {
		t.Errorf("a bootstrap without a disk: %v, want that it could not be kept", err)
	}
}

// No broken state brings the server down, and it says which file it is.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"Index":5,"Tokens":[{"SecretID":"x"}],"Nodes":[{"Node":{"ID":"a"}}],"Policies":[{"Name":"p","Rules":"node {"}]}`))
	f.Add([]byte(`{"Jobs":[{}],"Tokens":[null],"Nodes":[{}],"Variables":[null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/"+stateFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s := &Server{Dir: dir, TTL: time.Hour}
		s.init()
		if err := s.restore(); err != nil && !strings.Contains(err.Error(), dir) {
			t.Errorf("restore: %v, want it to name %s", err, dir)
		}
		for _, n := range s.nodes {
			n.silent.Stop()
		}
	})
}

// A change of metadata reaches the client at once, and the scheduler later.
func TestMetadataLag(t *testing.T) {
	const id = "7a780c47-390f-e4db-6dd9-10096b4b2ac9"
	s := &Server{MetaLag: 100 * time.Millisecond}
	c := cluster(t, s)
	join(t, s, &Client{Name: "host1", ID: id, Meta: map[string]string{"rack": "r1"}})
	until(t, "host1 is ready", ready(c, "host1"))
	got, err := c.Nodes().Meta().Apply(&api.NodeMetaApplyRequest{NodeID: id, Meta: map[string]*string{"provision": new("done"), "rack": nil}}, nil)
	if err != nil || got.Meta["provision"] != "done" || got.Meta["rack"] != "" || got.Static["rack"] != "r1" {
		t.Errorf("the client answers %+v, %v", got, err)
	}
	known := func() bool {
		n, _, err := c.Nodes().Info(id, nil)
		return err == nil && n.Meta["provision"] == "done" && n.Meta["rack"] == ""
	}
	if known() {
		t.Error("the scheduler knows the change at once")
	}
	until(t, "the scheduler knows the change", known)
}
