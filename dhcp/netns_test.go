package dhcp

import (
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"provision.internal/dhcp/dhcptest"
)

// newCable makes a cable whose server has 10.77.0.1/16.
func newCable(tb testing.TB) dhcptest.Cable {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root for a network namespace")
	}
	c, err := dhcptest.NewCable("dhcp", netip.MustParsePrefix("10.77.0.1/16"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// Some clients leave helpers behind. Whatever runs here is ours.
		for _, ns := range []string{c.Server, c.Client} {
			for _, pid := range strings.Fields(run(tb, "ip", "netns", "pids", ns)) {
				if n, err := strconv.Atoi(pid); err == nil && n != os.Getpid() {
					_ = unix.Kill(n, unix.SIGKILL) // it may have ended meanwhile
				}
			}
		}
		if err := c.Remove(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// bridge puts a bridge with the name and the address of the server's device in
// its place, as a rack of virtual machines has.
func bridge(tb testing.TB, c dhcptest.Cable) {
	tb.Helper()
	for _, args := range [][]string{
		{"link", "set", "srv", "down"}, {"link", "set", "srv", "name", "port"}, {"address", "flush", "dev", "port"},
		{"link", "add", "srv", "type", "bridge", "forward_delay", "0"}, {"link", "set", "port", "master", "srv"},
		{"address", "add", "10.77.0.1/16", "dev", "srv"}, {"link", "set", "port", "up"}, {"link", "set", "srv", "up"},
	} {
		run(tb, "ip", append([]string{"-n", c.Server}, args...)...)
	}
}

// inside runs f in a network namespace.
func inside(tb testing.TB, ns string, f func() error) {
	tb.Helper()
	if err := dhcptest.Inside(ns, f); err != nil {
		tb.Fatalf("in namespace %s: %v", ns, err)
	}
}

func run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
