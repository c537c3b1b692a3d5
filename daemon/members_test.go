package daemon

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"provision.internal/host"
	"provision.internal/httpboot"
	"provision.internal/installer"
	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
)

// founding is a founder of a few lines: node1 is a server.
type founding struct {
	asked, founded bool
	woken          int
}

func (f *founding) Asked() bool              { return f.asked }
func (f *founding) Founded() bool            { return f.founded }
func (f *founding) Changed() <-chan struct{} { return nil }
func (f *founding) Wake()                    { f.woken++ }
func (f *founding) Server(name string) bool  { return name == "node1" }
func (f *founding) Issuer() httpboot.Issuer  { return nil }

func (f *founding) Waits() string {
	if !f.asked {
		return "run provision cluster init"
	}
	return "no leader yet"
}

func (f *founding) ServerFiles(string) ([]nomad.File, error) {
	return []nomad.File{{Path: nomad.ConfigDir + "/server.hcl", Mode: 0o640, Content: "server {}\n"}}, nil
}

func (f *founding) Names(string) ([]string, []netip.Addr) {
	return []string{"server.global.nomad", "localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}
}

func TestStage(t *testing.T) {
	for _, test := range []struct {
		name       string
		host       string
		state      host.State
		quarantine string
		founder    *founding // nil: somebody else's cluster
		want       installer.Stage
		waits      string
	}{
		{"fresh", "node2", host.Installed, "", nil, installer.StageQuarantine, "configuration job"},
		{"failed in its job", "node2", host.Failed, "", nil, installer.StageQuarantine, "configuration job"},
		{"configured", "node2", host.Configured, "", nil, installer.StageMember, ""},
		{"asks late", "node2", host.Ready, "", nil, installer.StageMember, ""},
		{"no quarantine", "node2", host.Installed, nomad.QuarantineNone, nil, installer.StageMember, ""},
		{"before init, a server", "node1", host.Installed, "", &founding{}, installer.StageNone, "cluster init"},
		{"before init, a client", "node2", host.Booted, "", &founding{}, installer.StageNone, "cluster init"},
		{"founding, a server", "node1", host.Booted, "", &founding{asked: true}, installer.StageFounding, "no leader"},
		{"founding, a client", "node2", host.Booted, "", &founding{asked: true}, installer.StageNone, "no leader"},
		{"founded, a server", "node1", host.Booted, "", &founding{asked: true, founded: true}, installer.StageQuarantine, "configuration job"},
	} {
		p := &plans{}
		p.cfg.Nomad.Quarantine = test.quarantine
		if test.founder != nil {
			p.founder = test.founder
		}
		h := host.Host{Name: test.host, State: test.state}
		stage, waits := p.Stage(h)
		if stage != test.want || !strings.Contains(waits, test.waits) || (waits == "") != (test.waits == "") {
			t.Errorf("%s: Stage = %q, %q; want %q, %q", test.name, stage, waits, test.want, test.waits)
		}
		if got, want := p.waits(h) != "", test.founder != nil && !test.founder.founded; got != want {
			t.Errorf("%s: waits for the cluster: %v, want %v", test.name, got, want)
		}
	}
}

// The founding looks again when one of its servers tells of itself, and for
// nobody else.
func TestHeard(t *testing.T) {
	for _, test := range []struct {
		host    string
		founded bool
		want    int
	}{
		{"node1", false, 1},
		{"node2", false, 0},
		{"node1", true, 0},
	} {
		f := &founding{asked: true, founded: test.founded}
		(&plans{founder: f}).Heard(host.Host{Name: test.host})
		if f.woken != test.want {
			t.Errorf("%s, founded %v: the founding was woken %d times, want %d", test.host, test.founded, f.woken, test.want)
		}
	}
	(&plans{}).Heard(host.Host{Name: "node1"}) // somebody else's cluster
}

// A server gets a client's files too once there is a cluster, and no client ever
// gets a server's name or files.
func TestJoinOfServers(t *testing.T) {
	sim := nomadtest.NewServer()
	t.Cleanup(sim.Close)
	cfg := testConfig(t, minimal)
	cfg.Nomad.Address = sim.URL
	cluster, err := nomad.New(cfg.Nomad, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &plans{cfg: cfg, cluster: cluster, founder: &founding{asked: true}}
	for _, test := range []struct {
		host  string
		stage installer.Stage
		files []string
		names []string
	}{
		{"node1", installer.StageFounding, []string{"server.hcl"}, []string{"server.global.nomad", "localhost"}},
		{"node1", installer.StageQuarantine, []string{"client.hcl", "server.hcl"}, []string{"client.global.nomad", "server.global.nomad", "localhost"}},
		{"node2", installer.StageQuarantine, []string{"client.hcl"}, []string{"client.global.nomad"}},
	} {
		h := admitted()
		h.Name = test.host
		m, err := p.Join(t.Context(), h, test.stage, true)
		if err != nil {
			t.Fatal(err)
		}
		var files []string
		for _, f := range m.Files {
			files = append(files, strings.TrimPrefix(f.Path, nomad.ConfigDir+"/"))
			if f.Path == nomad.ConfigDir+"/client.hcl" && !strings.Contains(f.Content, `= "quarantine"`) {
				t.Errorf("%s of %s is not for quarantine: %s", f.Path, test.host, f.Content)
			}
		}
		if !slices.Equal(files, test.files) || !slices.Equal(m.Names, test.names) || (len(m.Addresses) > 0) != (test.host == "node1") {
			t.Errorf("%s at %s gets %q with names %q and %v, want %q with %q", test.host, test.stage, files, m.Names, m.Addresses, test.files, test.names)
		}
	}
}
