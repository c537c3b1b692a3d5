package dhcp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Every fault is reported at once, under the key that an operator wrote.
func TestValidate(t *testing.T) {
	good := rack()
	change := func(f func(*Network)) []Network {
		n := rack()
		f(&n)
		return []Network{n}
	}
	tests := map[string]struct {
		config Config
		want   []string // one a fault, in order; none for a good one
	}{
		"good":    {Config{Networks: []Network{good}, Reservations: []Reservation{{alice, ip("10.77.40.1")}, {MAC: bob}}}, nil},
		"off":     {Config{Networks: []Network{{Name: "x", DHCP: Off}}}, nil},
		"proxy":   {Config{Networks: change(func(n *Network) { n.DHCP, n.Pool = Proxy, Pool{} })}, nil},
		"nothing": {Config{Networks: []Network{{}}}, []string{"network[0].name: ", "network[0].dhcp: ", "network[0].interface: ", "network[0].subnet: "}},
		"server":  {Config{Address: netip.IPv6Loopback()}, []string{"server.address: "}},
		"mode":    {Config{Networks: change(func(n *Network) { n.DHCP = "relay" })}, []string{`network[0].dhcp: "relay" is not one of full, proxy, off`}},
		"subnet": {Config{Networks: change(func(n *Network) { n.Subnet = netip.MustParsePrefix("10.77.0.1/16") })},
			[]string{"network[0].subnet: 10.77.0.1/16 has host bits set; write 10.77.0.0/16"}},
		"IPv6 subnet": {Config{Networks: change(func(n *Network) { n.Subnet = netip.MustParsePrefix("fd00::/64") })},
			[]string{"network[0].subnet: "}},
		"gateway": {Config{Networks: change(func(n *Network) { n.Gateway = ip("10.77.255.255") })}, []string{"network[0].gateway: "}},
		"dns":     {Config{Networks: change(func(n *Network) { n.DNS = []netip.Addr{ip("1.1.1.1"), {}} })}, []string{"network[0].dns[1]: nothing is not"}},
		"lease": {Config{Networks: change(func(n *Network) { n.Lease = time.Second })},
			[]string{"network[0].lease: 1s is not between 1m0s and a year"}},
		"pool missing":  {Config{Networks: change(func(n *Network) { n.Pool = Pool{} })}, []string{"network[0].pool: is missing"}},
		"pool half":     {Config{Networks: change(func(n *Network) { n.Pool.To = netip.Addr{} })}, []string{"network[0].pool.to: "}},
		"pool outside":  {Config{Networks: change(func(n *Network) { n.Pool.To = ip("10.78.0.1") })}, []string{"network[0].pool.to: "}},
		"pool reversed": {Config{Networks: change(func(n *Network) { n.Pool.To = ip("10.77.0.5") })}, []string{"network[0].pool: from 10.77.1.0 is above"}},
		"pool too large": {Config{Networks: change(func(n *Network) {
			n.Subnet = netip.MustParsePrefix("10.0.0.0/8")
			n.Pool = Pool{ip("10.0.0.1"), ip("10.9.0.0")}
		})}, []string{"network[0].pool: has more than"}},
		"two of everything": {Config{Networks: []Network{good, good}},
			[]string{"network[1].name: ", "network[1].subnet: ", "network[1].interface: "}},
		"relayed beside attached": {Config{Networks: append(change(func(n *Network) {
			n.Name, n.Relayed, n.Gateway = "far", true, netip.Addr{}
			n.Subnet = netip.MustParsePrefix("10.78.0.0/16")
			n.Pool = Pool{ip("10.78.0.5"), ip("10.78.0.9")}
		}), good)}, nil},
		"reservations": {Config{Networks: []Network{good}, Address: ip("10.77.0.2"), Reservations: []Reservation{
			{alice, ip("10.77.40.1")}, {bob, ip("10.77.40.1")}, {alice, ip("10.77.40.2")}, {carol, ip("192.0.2.1")}, {carol, ip("10.77.0.1")},
			{Address: ip("10.77.40.5")}, {macOf(1), ip("10.77.0.2")},
		}}, []string{
			"hosts[1].address: 10.77.40.1 is reserved by hosts[0] too", "hosts[2].mac: ", "hosts[3].address: 192.0.2.1 is in no configured network",
			"hosts[4].address: 10.77.0.1 is the gateway of network[0]", "hosts[4].mac: ", "hosts[5].mac: is missing",
			"hosts[6].address: 10.77.0.2 is the appliance's own address",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.config.Validate()
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(tt.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(got), len(tt.want), err)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("fault %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}
