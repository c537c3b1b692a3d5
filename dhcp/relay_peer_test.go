package dhcp

import (
	"net/netip"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"provision.internal/dhcp/dhcptest"
)

// A real client behind a real relay, dnsmasq's, gets an address of its own
// network and keeps it when it asks again.
func TestRealRelay(t *testing.T) {
	near := newCable(t)
	for _, program := range []string{"dnsmasq", "udhcpc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed; make deps installs it", program)
		}
	}
	behind, err := dhcptest.NewCable("relay", netip.MustParsePrefix("10.78.0.1/24"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := behind.Remove(); err != nil {
			t.Error(err)
		}
	})
	// The relay's machine has the far ends of both cables' servers: 10.77.0.2 of
	// the appliance's network, 10.78.0.1 of the machines'.
	relay := behind.Server
	run(t, "ip", "-n", near.Client, "link", "set", dhcptest.ClientDevice, "netns", relay)
	run(t, "ip", "-n", relay, "address", "add", "10.77.0.2/16", "dev", dhcptest.ClientDevice)
	run(t, "ip", "-n", relay, "link", "set", dhcptest.ClientDevice, "up")
	run(t, "ip", "-n", near.Server, "route", "add", "10.78.0.0/24", "via", "10.77.0.2")

	far := Network{Name: "far", Interface: dhcptest.ServerDevice, Subnet: netip.MustParsePrefix("10.78.0.0/24"), DHCP: Full, Relayed: true,
		Gateway: ip("10.78.0.1"), Lease: time.Hour, Pool: Pool{ip("10.78.0.10"), ip("10.78.0.20")}}
	p := &peer{T: t, cable: behind, leases: &memory{}, dir: t.TempDir()}
	start(t, near, Config{Networks: []Network{far}}, p.leases)

	dnsmasq := exec.Command("ip", "netns", "exec", relay, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
		"--user=root", "--pid-file="+p.path("dnsmasq.pid"), "--log-facility=-", "--dhcp-relay=10.78.0.1,10.77.0.1")
	var said output
	said.found = func() {}
	dnsmasq.Stdout, dnsmasq.Stderr = &said, &said
	if err := dnsmasq.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = dnsmasq.Process.Kill() // it may have ended by itself, which its words tell
		_ = dnsmasq.Wait()
		if t.Failed() {
			t.Logf("the relay: %s", &said.text)
		}
	})

	script := p.file("script", "#!/bin/sh\n[ \"$1\" != bound ] || echo \"got $ip $subnet $router\"\n")
	for _, id := range [][]string{nil, {"-C"}} {
		args := append([]string{"-i", dhcptest.ClientDevice, "-f", "-q", "-n", "-s", script}, id...)
		p.check(p.run("udhcpc", args...), regexp.MustCompile(`got (10\.78\.0\.1\d) 255\.255\.255\.0 10\.78\.0\.1`))
	}
}
