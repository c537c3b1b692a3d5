package router

import (
	"testing"
	"time"
)

func TestCanonical(t *testing.T) {
	for _, tt := range []struct{ menu, property, value, want string }{
		{"/interface/bridge", "vlan-filtering", "true", "yes"},
		{"/interface/bridge", "vlan-filtering", "no", "no"},
		{"/ip/firewall/filter", "log", "", "no"},
		{"/interface/bridge/port", "edge", "auto", "auto"},
		{"/ip/dhcp-server", "lease-time", "01:00:00", "1h"},
		{"/ip/dhcp-server", "lease-time", "3600", "1h"},
		{"/ip/dhcp-server", "lease-time", "1d00:30:00", "1d30m"},
		{"/ip/dhcp-server", "lease-time", "never", "never"},
		{"/routing/bgp/connection", "hold-time", "30s", "30s"},
		{"/routing/bgp/connection", "hold-time", "", ""},
		{"/routing/bgp/connection", "remote.address", "192.0.2.1/32", "192.0.2.1"},
		{"/interface/bridge/vlan", "tagged", "ether2,br0,ether2", "br0,ether2"},
		{"/ip/dns", "servers", "192.0.2.2, 192.0.2.1", "192.0.2.2,192.0.2.1"},
		{"/ip/service", "address", "192.0.2.2/32,192.0.2.1/32", "192.0.2.1/32,192.0.2.2/32"},
		{"/ip/address", "address", "192.0.2.1/32", "192.0.2.1/32"},
		{"/ip/route", "dst-address", "192.0.2.1/32", "192.0.2.1/32"},
		{"/ip/firewall/filter", "dst-address", "192.0.2.1/32", "192.0.2.1"},
		{"/ip/dhcp-server/lease", "mac-address", "00:00:5e:00:53:0a", "00:00:5E:00:53:0A"},
		{"/ip/pool", "ranges", "192.0.2.7-192.0.2.7", "192.0.2.7"},
		{"/ip/dns/static", "type", "", "A"},
		{"/system/identity", "name", "true", "true"},
	} {
		got := Canonical(tt.menu, tt.property, tt.value)
		if got != tt.want {
			t.Errorf("%s %s %q is %q, want %q", tt.menu, tt.property, tt.value, got, tt.want)
		}
		if again := Canonical(tt.menu, tt.property, got); again != got {
			t.Errorf("%s %s: %q becomes %q the second time", tt.menu, tt.property, got, again)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"", "1h", "01:00:00", "1w2d03:04:05", "30s", "500ms", "1m1s", "99999999999", "1h:", "::", "1x", "s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := parseDuration(s)
		if !ok {
			return
		}
		text := formatDuration(d)
		if again, ok := parseDuration(text); !ok || again != max(d, 0) {
			t.Errorf("%q is %v, written %q, which is %v", s, d, text, again)
		}
	})
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Second: "30s", time.Hour: "1h", 90 * time.Minute: "1h30m",
		8*24*time.Hour + time.Second: "1w1d1s", 1500 * time.Millisecond: "1s500ms",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func FuzzVersion(f *testing.F) {
	for _, s := range []string{"7.24.2 (stable)", "7.20rc3 (testing)", "7.18", "6.49.10 (long-term)", "", "7", "7.", "a.b", "7.24.2.1", "70000.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVersion(s)
		if err != nil {
			return
		}
		if again, err := ParseVersion(v.String()); err != nil || again != v {
			t.Errorf("%q is %v, which reads as %v (%v)", s, v, again, err)
		}
	})
}

func TestVersion(t *testing.T) {
	for s, want := range map[string]Version{
		"7.24.2 (stable)": {7, 24, 2}, "7.20rc3 (testing)": {7, 20, 0}, "7.18": {7, 18, 0}, "6.49.10 (long-term)": {6, 49, 10},
	} {
		if v, err := ParseVersion(s); err != nil || v != want {
			t.Errorf("%q is %v, %v; want %v", s, v, err, want)
		}
	}
	v := Version{7, 21, 3}
	if v.Before(7, 21, 3) || !v.Before(7, 21, 4) || !v.Before(7, 22, 0) || v.Before(6, 49, 10) || !v.Before(8, 0, 0) {
		t.Errorf("%v is compared wrongly", v)
	}
}
