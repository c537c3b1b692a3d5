package router

import (
	"net/netip"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// matrix is the first user's site with documentation addresses: one bridge,
// VLANs for the uplink, the hosts, the peers and quarantine, the router as the
// DHCP server, BGP with the core.
func matrix() (Config, Inputs) {
	yes := true
	rule := func(name, action string, change func(*Rule)) Rule {
		r := Rule{Name: name, Action: action}
		if change != nil {
			change(&r)
		}
		return r
	}
	c := Config{
		Address: "192.0.2.1", User: "provision", PasswordFile: "router.password",
		Identity: "matrix-router", Bridge: "br0", Management: "lan0",
		VLANs: []VLAN{
			{Name: "lan0", ID: 10, Address: netip.MustParsePrefix("192.0.2.1/24"), DHCP: &DHCP{
				Pool: Pool{netip.MustParseAddr("192.0.2.30"), netip.MustParseAddr("192.0.2.240")}, Lease: time.Hour,
				DNS: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Domain: "matrix.example", Boot: true,
			}},
			{Name: "wan0", ID: 20, DHCPClient: true},
			{Name: "peer0", ID: 101, Address: netip.MustParsePrefix("169.254.255.1/24")},
			{Name: "idle0", ID: 30, Address: netip.MustParsePrefix("198.51.100.1/24"), Relay: netip.MustParseAddr("192.0.2.2")},
		},
		Stages: Stages{Idle: "idle0", Install: "lan0", Production: "lan0"},
		Routes: []Route{{To: netip.MustParsePrefix("203.0.113.0/24"), Via: netip.MustParseAddr("169.254.255.2")}},
		DNS: DNS{
			Servers: []netip.Addr{netip.MustParseAddr("203.0.113.53")}, Remote: &yes, Hosts: true, Domain: "matrix.example",
			Records: []Record{{Name: "matrix-core.matrix.example", Address: netip.MustParseAddr("192.0.2.2")}, {Name: "registry.matrix.example", CNAME: "matrix-core.matrix.example"}},
		},
		NTP: []string{"203.0.113.123", "ntp.example"},
		BGP: &BGP{AS: 64579, RouterID: netip.MustParseAddr("169.254.255.1"), Peers: []Peer{{
			Name: "core", Address: netip.MustParseAddr("169.254.255.2"), Hold: 30 * time.Second, Keepalive: 10 * time.Second,
			Redistribute: []string{"connected"}, Originate: "if-installed",
		}}},
		Services: map[string][]netip.Prefix{"api-ssl": {netip.MustParsePrefix("192.0.2.2/32")}, "ssh": {netip.MustParsePrefix("192.0.2.0/24")}},
		Firewall: Firewall{
			Input: []Rule{
				rule("established", "accept", func(r *Rule) { r.ConnectionState = []string{"established", "related"} }),
				rule("lan", "accept", func(r *Rule) { r.InInterface = "lan0" }),
				rule("bgp", "accept", func(r *Rule) { r.InInterface, r.Protocol, r.DstPort = "peer0", "tcp", "179" }),
				rule("ping", "accept", func(r *Rule) { r.Protocol = "icmp" }),
				rule("rest", "drop", nil),
			},
			Forward: []Rule{
				rule("established", "accept", func(r *Rule) { r.ConnectionState = []string{"established", "related"} }),
				rule("quarantine", "drop", func(r *Rule) { r.InInterface = "idle0" }),
				rule("new-from-outside", "drop", func(r *Rule) { r.InInterface, r.ConnectionState = "wan0", []string{"new"} }),
			},
			SrcNAT: []Rule{rule("out", "masquerade", func(r *Rule) { r.OutInterface = "wan0" })},
		},
	}
	for i, p := range []Port{
		{Role: Uplink, VLAN: "wan0"}, {Role: Access, VLAN: "peer0"}, {Role: Access, VLAN: "peer0"}, {Role: Access, VLAN: "peer0"}, {Role: Access, VLAN: "peer0"},
		{Role: Trunk, Tagged: []string{"lan0", "peer0"}}, {Role: Host}, {Role: Host}, {Role: Host}, {Role: Access, VLAN: "lan0"},
	} {
		p.Name = "ether" + string(rune('1'+i))
		if i == 9 {
			p.Name = "ether10"
		}
		c.Ports = append(c.Ports, p)
	}
	in := Inputs{Appliance: netip.MustParseAddr("192.0.2.2")}
	for i := range 13 {
		in.Hosts = append(in.Hosts, Machine{
			Name: "node" + string(rune('a'+i)), MAC: host.MAC{0, 0, 0x5e, 0, 0x53, byte(i + 1)}, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(11 + i)}),
		})
	}
	return c, in
}

// simulated is a simulated router with a session to it.
func simulated(t testing.TB, config routertest.Config) (*routertest.Router, *ros.Conn) {
	t.Helper()
	r := routertest.New(config)
	t.Cleanup(r.Close)
	if err := r.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return r, dial(t, r)
}

func dial(t testing.TB, r *routertest.Router) *ros.Conn {
	t.Helper()
	conn, err := ros.Dialer{Address: r.Addr(), User: "admin", Pin: ros.Pin(r.Pin())}.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func read(t testing.TB, conn *ros.Conn) State {
	t.Helper()
	s, err := Read(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// apply carries a plan out as it stands.
func apply(t testing.TB, conn *ros.Conn, p Plan) {
	t.Helper()
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	for _, op := range p.Operations {
		if err := op.Apply(t.Context(), conn); err != nil {
			t.Fatalf("%s %s %s: %v", op.Kind, op.Menu, op.Name, err)
		}
	}
}
