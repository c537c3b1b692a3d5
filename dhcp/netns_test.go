package dhcp

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// cable is two network namespaces with an Ethernet cable between them: the
// appliance is in one, its machines are in the other. The interfaces are called
// "srv" and "cli"; srv has 10.77.0.1/16.
type cable struct{ server, client string }

var cables atomic.Int32

func newCable(tb testing.TB) cable {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root for a network namespace")
	}
	id := fmt.Sprintf("%d-%d", os.Getpid(), cables.Add(1))
	c := cable{"dhcps" + id, "dhcpc" + id}
	for _, ns := range []string{c.server, c.client} {
		run(tb, "ip", "netns", "add", ns)
		tb.Cleanup(func() {
			// Some clients leave helpers behind. Whatever runs here is ours; it
			// may be this test too, if its first thread has been inside.
			for _, pid := range strings.Fields(run(tb, "ip", "netns", "pids", ns)) {
				if n, err := strconv.Atoi(pid); err == nil && n != os.Getpid() {
					_ = unix.Kill(n, unix.SIGKILL) // it may have ended meanwhile
				}
			}
			run(tb, "ip", "netns", "del", ns)
		})
		run(tb, "ip", "-n", ns, "link", "set", "lo", "up")
	}
	run(tb, "ip", "link", "add", "srv", "netns", c.server, "type", "veth", "peer", "name", "cli", "netns", c.client)
	run(tb, "ip", "-n", c.server, "address", "add", "10.77.0.1/16", "dev", "srv")
	run(tb, "ip", "-n", c.server, "link", "set", "srv", "up")
	run(tb, "ip", "-n", c.client, "link", "set", "cli", "up")
	return c
}

// bridge puts a bridge with the name and the address of srv in its place, as a
// rack of virtual machines has.
func (c cable) bridge(tb testing.TB) {
	tb.Helper()
	for _, args := range [][]string{
		{"link", "set", "srv", "down"}, {"link", "set", "srv", "name", "port"}, {"address", "flush", "dev", "port"},
		{"link", "add", "srv", "type", "bridge", "forward_delay", "0"}, {"link", "set", "port", "master", "srv"},
		{"address", "add", "10.77.0.1/16", "dev", "srv"}, {"link", "set", "port", "up"}, {"link", "set", "srv", "up"},
	} {
		run(tb, "ip", append([]string{"-n", c.server}, args...)...)
	}
}

// inside runs f in a network namespace, on a thread that ends with it.
func inside(tb testing.TB, ns string, f func() error) {
	tb.Helper()
	if err := enter(ns, f); err != nil {
		tb.Fatalf("in namespace %s: %v", ns, err)
	}
}

func enter(ns string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is of no more use
		fd, err := os.Open("/run/netns/" + ns)
		if err == nil {
			defer fd.Close()
			err = unix.Setns(int(fd.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
