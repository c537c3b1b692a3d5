package cluster

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"provision.internal/golden"
	"provision.internal/nomad"
)

// site3 declares three servers.
func site3(t *testing.T) Site {
	s := Site{Authority: testAuthority(t), Secrets: newVault(), Nomad: nomad.Config{Datacenter: "MATRIX"}}
	for i, name := range []string{"node1", "node2", "matrix-core"} {
		s.Config.Servers = append(s.Config.Servers, name)
		s.Servers = append(s.Servers, Server{
			Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(11 + i)}),
			Certificate: "/etc/nomad.d/tls/host.pem", Key: "/etc/nomad.d/tls/host.key",
		})
	}
	s.Servers[2].Datacenter = "MATRIX-CONTROL"
	s.Nomad = s.Config.Derive(s.Nomad, s.Servers, "/state/ca.pem")
	return s
}

func TestServerFiles(t *testing.T) {
	s := site3(t)
	f, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Ask(t.Context(), "operator"); err != nil {
		t.Fatal(err)
	}
	gossip, err := f.unseal(gossipSecret)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := base64.StdEncoding.DecodeString(gossip); err != nil || len(key) != 32 {
		t.Errorf("the gossip key has %d bytes (%v), want 32", len(key), err)
	}
	files, err := f.ServerFiles("matrix-core")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 || files[0].Content != string(s.Authority.PEM()) || files[1].Mode != 0o600 {
		t.Errorf("files %+v, want the authority and a secret configuration", files)
	}
	golden.Check(t, "server.hcl", strings.ReplaceAll(files[1].Content, gossip, "GOSSIP"))

	// Once the version is known, and only where it knows the block.
	for version, want := range map[string]bool{"1.10.5": false, "1.11.0": true, "2.0.6": true, "1.9.0-dev": false, "": false} {
		if err := f.remember(func(r *record) { r.Version, r.Founded = version, time.Now() }); err != nil {
			t.Fatal(err)
		}
		files, err := f.ServerFiles("node1")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(files[1].Content, "client_introduction"); got != want {
			t.Errorf("version %q: a block client_introduction is there: %v, want %v", version, got, want)
		}
	}
	if _, err := f.ServerFiles("node7"); err == nil {
		t.Error("a host that is no server got a server's files")
	}
	f.site.Nomad.Region = "${oops}"
	if _, err := f.ServerFiles("node1"); err == nil {
		t.Error("a region that begins an interpolation came into a server's configuration")
	}
	if dns, _ := f.Names("node7"); dns != nil {
		t.Errorf("a host that is no server may have a certificate for %q", dns)
	}
}

func TestDerive(t *testing.T) {
	n := site3(t).Nomad
	if n.Address != "https://192.0.2.11:4646" || len(n.Servers) != 3 || n.Servers[2] != "192.0.2.13:4647" ||
		n.CA != "/state/ca.pem" || !n.Introduction || !n.ACL {
		t.Errorf("derived %+v", n)
	}
	given := nomad.Config{Address: "http://10.0.0.1:4646", TokenFile: "token"}
	if got := (Config{}).Derive(given, nil, "/state/ca.pem"); got.Address != given.Address || got.TokenFile != "token" || got.ACL {
		t.Errorf("an adopted cluster's section became %+v", got)
	}
}

func TestAdopted(t *testing.T) {
	s := Site{Secrets: newVault(), Nomad: nomad.Config{Address: "http://127.0.0.1:1"}}
	f, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	if !f.Founded() || f.Asked() || f.Waits() != "" {
		t.Errorf("founded %v, asked %v, waits %q; want an adopted cluster to be founded", f.Founded(), f.Asked(), f.Waits())
	}
	if err := f.Ask(t.Context(), "operator"); !errors.Is(err, ErrAdopted) {
		t.Errorf("founding it: %v, want ErrAdopted", err)
	}
	if err := f.Run(t.Context()); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := f.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "cluster.management_token_file") {
		t.Errorf("a plan without a management token: %v, want the key to set", err)
	}
}

func TestValidate(t *testing.T) {
	hosts := func(name string) (a netip.Addr, known bool) {
		if name == "bare" {
			return a, true
		}
		return netip.MustParseAddr("192.0.2.1"), strings.HasPrefix(name, "node")
	}
	good := Config{Servers: []string{"node1", "node2", "node3"}, Anonymous: "read", Enforcement: "warn",
		Policies: []Policy{{Name: "proxy-read", Rules: proxyRules, Job: &Job{ID: "proxy"}}}, Pools: []Pool{{Name: "gpu"}}}
	if err := good.Validate("cluster", hosts); err != nil {
		t.Error(err)
	}
	certificate, key := caFiles(t, nil)
	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{Servers: []string{"node1", "node2"}}, "cluster.servers: 2 servers"},
		{Config{Servers: []string{"node1", "node2", "node1"}}, "cluster.servers[2]: node1 is named twice"},
		{Config{Servers: []string{"nobody"}}, `cluster.servers[0]: there is no host "nobody"`},
		{Config{Servers: []string{"bare"}}, "cluster.servers[0]: bare has no address"},
		{Config{Anonymous: "write"}, "cluster.anonymous:"},
		{Config{Enforcement: "often"}, "cluster.enforcement:"},
		{Config{Authority: Files{Certificate: certificate}}, "cluster.authority: an authority is"},
		{Config{Authority: Files{Certificate: key, Key: key}}, "cluster.authority:"},
		{Config{ManagementTokenFile: "/nonexistent"}, "cluster.management_token_file:"},
		{Config{Policies: []Policy{{Name: "a b", Rules: proxyRules}}}, "cluster.policies[0]: name:"},
		{Config{Policies: []Policy{{Name: "anonymous", Rules: proxyRules}}}, "cluster.policies[0]: name: the anonymous"},
		{Config{Policies: []Policy{{Name: "provision", Rules: proxyRules}}}, "cluster.policies[0]: name: provision"},
		{Config{Policies: []Policy{{Name: "a", Rules: "namespace {"}}}, "cluster.policies[0]: rules:"},
		{Config{Policies: []Policy{{Name: "a"}}}, "cluster.policies[0]: rules: is missing"},
		{Config{Policies: []Policy{{Name: "a", RulesFile: "/nonexistent"}}}, "cluster.policies[0]: rules_file:"},
		{Config{Policies: []Policy{{Name: "a", Rules: proxyRules}, {Name: "a", Rules: proxyRules}}}, "cluster.policies[1].name: a is named twice"},
		{Config{Policies: []Policy{{Name: "a", Rules: proxyRules, Job: &Job{}}}}, "job.id"},
		{Config{Policies: []Policy{{Name: "a", Rules: proxyRules, Job: &Job{ID: "x", Task: "t"}}}}, "job.group"},
		{Config{Pools: []Pool{{Name: "all"}}}, "cluster.pools[0].name: all is a pool"},
		{Config{Pools: []Pool{{Name: "a b"}}}, "cluster.pools[0].name:"},
		{Config{Pools: []Pool{{Name: "a"}, {Name: "a"}}}, "cluster.pools[1].name: a is named twice"},
	} {
		if err := test.config.Validate("cluster", hosts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.config, err, test.want)
		}
	}
}
