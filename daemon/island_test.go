package daemon

import (
	"net/netip"
	"strings"
	"testing"
)

func TestIsland(t *testing.T) {
	for _, c := range []struct{ from, to, host, want string }{
		{"", "", "10.77.0.120", "10.77.0.0/24"},
		{"", "", "10.78.0.120", ""},
		{"subnet: 10.77.0.0/24", "gateway: 10.77.0.254, subnet: 10.77.0.0/24", "10.77.0.120", ""},
		// The other server may give a gateway.
		{"pool: {from: 10.77.0.100, to: 10.77.0.199}", "dhcp: proxy", "10.77.0.120", ""},
	} {
		cfg := testConfig(t, strings.Replace(minimal, c.from, c.to, 1))
		want, _ := netip.ParsePrefix(c.want) // none when empty
		if got := cfg.island(netip.MustParseAddr(c.host)); got != want {
			t.Errorf("island(%s) with %q = %s, want %s", c.host, c.to, got, want)
		}
	}
}
