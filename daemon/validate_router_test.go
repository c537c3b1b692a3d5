package daemon

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"provision.internal/router"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// minimalRouter is the smallest valid router section for minimal.
const minimalRouter = `
router:
  address: 10.77.0.254
  user: provision
  password_file: router.password
  bridge: br0
  management: lan0
  vlans:
    - {name: lan0, id: 10, address: 10.77.0.254/24}
  ports:
    - {name: ether1, role: trunk, tagged: [lan0]}
`

func TestRouterNone(t *testing.T) {
	for _, text := range []string{"", "router: none\n", "router:\n"} {
		if cfg, err := parse(t, minimal+text); err != nil || cfg.Router != nil {
			t.Errorf("%q: %+v, %v; want no router and no fault", text, cfg.Router, err)
		}
	}
	cfg, err := parse(t, minimal+minimalRouter)
	if err != nil || cfg.Router == nil || cfg.Router.PasswordFile != "/base/router.password" {
		t.Errorf("the minimal router: %+v, %v", cfg.Router, err)
	}
}

// Each key is wrong on its own: the fault must name it, and nothing else.
func TestOneFaultOfTheRouterIsOneLine(t *testing.T) {
	const whole = minimal + minimalRouter
	for _, c := range []struct{ from, to, key string }{
		{minimalRouter, "router: 5", "router"},
		{"user: provision", "user: provision\n  usr: x", "router.usr"},
		{"user: provision", "user: provision\n  certificate: sha256:12", "router.certificate"},
		{"id: 10,", "id: ten,", "router.vlans[0].id"},
		{"id: 10,", "id: 4095,", "router.vlans[0].id"},
		{"id: 10,", "id: 10, dhcp: {pool: {from: 10.77.0.5, to: 10.77.0.9}, lease: 60},", "router.vlans[0].dhcp.lease"},
		{"10.77.0.254/24", "10.77.0.254/25", "router.vlans[0].address"},
		{"id: 10,", "id: 10, dhcp: {pool: {from: 10.77.0.5, to: 10.77.0.9}},", "router.vlans[0].dhcp"},
		{"id: 10,", "id: 10, relay: 10.77.0.1,", "router.vlans[0].relay"},
		{"ports:", "  - {name: idle0, id: 30, address: 10.78.0.1/24, relay: 10.77.0.1}\n  ports:", "router.vlans[1].relay"},
		{"name: rack,", "name: rack, relayed: true,", "network[0].relayed"},
		{"10.77.0.254/24", "10.77.0.1/24", "router.vlans[0].address"},
		{"role: trunk", "role: trunc", "router.ports[0].role"},
	} {
		if !strings.Contains(whole, c.from) {
			t.Fatalf("the configuration has no %q", c.from)
		}
		_, err := parse(t, strings.Replace(whole, c.from, c.to, 1))
		var faults Faults
		if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Key != c.key || faults[0].Problem == "" {
			t.Errorf("with %q: %v; want exactly one fault, of %s", c.to, err, c.key)
		}
	}
}

// Faults that can be found only after decoding are told together with those
// that keep a key from being read.
func TestFaultsOfTheRouterComeTogether(t *testing.T) {
	_, err := parse(t, minimal+strings.NewReplacer("id: 10,", "id: ten,", "user: provision", "", "role: trunk, tagged: [lan0]", "role: access, vlan: lan9").Replace(minimalRouter))
	var faults Faults
	errors.As(err, &faults)
	for _, key := range []string{"router.vlans[0].id", "router.user", "router.ports[0].vlan"} {
		if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Key == key }) {
			t.Errorf("no fault of %s in %v", key, err)
		}
	}
}

// matrix reads the first user's site.
func matrix(t *testing.T) Config {
	t.Helper()
	text, err := os.ReadFile("../examples/matrix.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var settings map[string]any
	if err := yaml.Unmarshal(text, &settings); err != nil {
		t.Fatal(err)
	}
	cfg, err := Decode(settings, "../examples")
	var faults Faults
	errors.As(err, &faults)
	for _, f := range faults {
		if f.Key != "nomad.token_file" { // the reader's
			t.Error(f)
		}
	}
	return cfg
}

// The example as it stands, from a router that was reset and from one that the
// first user's own five lines have prepared.
func TestTheMatrixIsPlannedAndApplied(t *testing.T) {
	cfg := matrix(t)
	for _, start := range []struct {
		name  string
		lines [][]string
		prune []string
	}{
		{name: "empty"},
		{"five lines", [][]string{
			{"/interface/vlan/add", "=comment=Bootstrap Interface", "=interface=ether1", "=name=bootstrap0", "=vlan-id=2"},
			{"/ip/address/add", "=address=203.0.113.1/24", "=interface=bootstrap0"},
			{"/ip/service/set", "=numbers=www", "=disabled=no"},
		}, []string{"/interface/vlan/bootstrap0", "/ip/address/203.0.113.1/24"}},
	} {
		t.Run(start.name, func(t *testing.T) {
			r := routertest.New(routertest.Config{})
			defer r.Close()
			for _, line := range start.lines {
				if _, err := r.Do(line[0], line[1:]...); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.Listen("127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			conn, err := ros.Dialer{Address: r.Addr(), User: "admin", Pin: ros.Pin(r.Pin())}.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			plan := planned(t, cfg, conn, start.prune)
			calls := conn.Calls()
			for _, op := range plan.Operations {
				if err := op.Apply(t.Context(), conn); err != nil {
					t.Fatalf("%s %s %s: %v", op.Kind, op.Menu, op.Name, err)
				}
			}
			rows := len(cfg.Router.Desired(cfg.routerInputs(), router.Version{Major: 7, Minor: 24, Patch: 2}))
			if calls = conn.Calls() - calls; calls > rows+20 {
				t.Errorf("%d calls for %d rows; want at most 20 more than rows", calls, rows)
			}
			if again := planned(t, cfg, conn, nil); !again.Empty() || len(again.Warnings) > 0 {
				t.Errorf("the second plan is not empty:\n%s", again.Text(false))
			}
		})
	}
}

func planned(t *testing.T, cfg Config, conn *ros.Conn, prune []string) router.Plan {
	t.Helper()
	state, err := router.Read(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	plan := cfg.Router.Plan(cfg.routerInputs(), state, router.Options{Prune: prune})
	if err := plan.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}
