package nomadtest

import (
	"testing"
	"time"
)

const applianceRules = `
namespace "default" {
  capabilities = ["list-jobs", "parse-job"]
  variables {
    path "appliance/*" {
      capabilities = ["write", "read"]
    }
    path "appliance/secret" {
      capabilities = ["deny"]
    }
  }
}
namespace "apps-*" {
  policy = "read"
}
node_pool "*" {
  policy = "read"
}
node {
  policy = "write"
}
plugin {
  policy = "list"
}
`

// No rules may bring the parser down, and what is refused says why.
func FuzzRules(f *testing.F) {
	f.Add(applianceRules)
	f.Add("")
	f.Add("node { policy = ")
	f.Add("node {\n policy = 5\n}\nnode {\n policy = null\n}")
	f.Add("namespace \"*\" {\n variables {\n path \"/x\" {\n capabilities = [\"read\", 5]\n}\n}\n}")
	f.Add("namespace \"a\" \"b\" {}\nnode_pool {}\nagent \"x\" {}")
	f.Fuzz(func(t *testing.T, text string) {
		r, fault := parseRules(text)
		if (r == nil) != (fault != "") {
			t.Fatalf("parseRules(%q) = %v, %q", text, r, fault)
		}
		if r == nil {
			return
		}
		twice := newRules()
		twice.merge(r)
		twice.merge(r)
		for name, g := range r.namespaces {
			for c := range g {
				if g.allows(c) != twice.namespaces[name].allows(c) {
					t.Fatalf("%q of %q changes when it is said twice", c, name)
				}
			}
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b*c", "aXbYc")
	f.Add("*", "")
	f.Add("a*a", "a")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if glob(pattern, name) && !glob("*"+pattern, name) {
			t.Fatalf("%q matches %q, and with one more star it does not", pattern, name)
		}
	})
}

func TestRules(t *testing.T) {
	r, fault := parseRules(applianceRules)
	if fault != "" {
		t.Fatal(fault)
	}
	a := access{rules: r}
	for _, test := range []struct {
		what string
		got  bool
		want bool
	}{
		{"list-jobs in default", a.namespace("default", "list-jobs"), true},
		{"read-job in default", a.namespace("default", "read-job"), false},
		{"read-job in apps-1", a.namespace("apps-1", "read-job"), true},
		{"read-job in some namespace", a.namespace("*", "read-job"), true},
		{"submit-job in some namespace", a.namespace("*", "submit-job"), false},
		{"anything in other", a.knows("other"), false},
		{"read of any pool", a.pool("gpu", "read"), true},
		{"write of any pool", a.pool("gpu", "write"), false},
		{"node read", readNode(a, ""), true},
		{"agent read", level("agent", "read")(a, ""), false},
		{"list of plugins", level("plugin", "list")(a, ""), true},
		{"read of plugins", level("plugin", "read")(a, ""), false},
	} {
		if test.got != test.want {
			t.Errorf("%s: %t, want %t", test.what, test.got, test.want)
		}
	}
	more, fault := parseRules("node {\n policy = \"deny\"\n}\nnamespace \"default\" {\n policy = \"write\"\n}")
	if fault != "" {
		t.Fatal(fault)
	}
	r.merge(more)
	if readNode(a, "") || !a.namespace("default", "submit-job") {
		t.Error("after a second policy: want nodes denied, and more in default")
	}
}

// An introduction is for one name and pool, until its end.
func TestIntroduced(t *testing.T) {
	s := new(Server)
	c := cluster(t, s)
	var out struct{ JWT string }
	in := map[string]string{"NodeName": "host1", "NodePool": "metal", "TTL": "10m"}
	if _, err := c.Raw().Write("/v1/acl/identity/client-introduction-token", in, &out, nil); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, test := range []struct {
		jwt, name, pool string
		at              time.Time
		want            bool
	}{
		{out.JWT, "host1", "metal", now, true},
		{out.JWT, "host1", "metal", now.Add(10*time.Minute + 30*time.Second), true},
		{out.JWT, "host1", "metal", now.Add(12 * time.Minute), false},
		{out.JWT, "host2", "metal", now, false},
		{out.JWT, "host1", "default", now, false},
		{out.JWT + "x", "host1", "metal", now, false},
		{"", "host1", "metal", now, false},
		{"a.b.c", "host1", "metal", now, false},
	} {
		if got := s.introduced(test.jwt, test.name, test.pool, test.at); got != test.want {
			t.Errorf("introduced(%.20q, %s, %s, %s) = %t, want %t", test.jwt, test.name, test.pool, test.at.Sub(now), got, test.want)
		}
	}
}

// A cluster has a leader while a majority of its servers is there.
func TestMembers(t *testing.T) {
	s := &Server{LeaderWait: time.Millisecond, Members: []Member{
		{Name: "a.global", Address: "10.0.0.1:4647"}, {Name: "b.global", Address: "10.0.0.2:4647"}, {Name: "c.global", Address: "10.0.0.3:4647"},
	}}
	c := cluster(t, s)
	leader := func() string {
		l, err := c.Status().Leader()
		if err != nil {
			return ""
		}
		return l
	}
	if got := leader(); got != "10.0.0.1:4647" {
		t.Errorf("leader %q, want the first", got)
	}
	s.Fail("a.global", true)
	if got := leader(); got != "10.0.0.2:4647" {
		t.Errorf("leader %q after the first has failed, want the second", got)
	}
	members, err := c.Agent().Members()
	if err != nil || len(members.Members) != 3 || members.Members[0].Status != "failed" {
		t.Errorf("members %+v, %v, want the first of three failed", members, err)
	}
	s.Fail("b.global", true)
	if got := leader(); got != "" {
		t.Errorf("leader %q without a majority, want none", got)
	}
	s.Fail("a.global", false)
	if got := leader(); got != "10.0.0.1:4647" {
		t.Errorf("leader %q after the first is back, want it", got)
	}
}
