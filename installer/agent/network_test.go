package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"provision.internal/host"
)

func TestCommandLine(t *testing.T) {
	for text, want := range map[string]host.MAC{
		"": {}, "quiet": {}, "provision.mac=": {}, "provision.mac=nonsense": {}, "xprovision.mac=52-54-00-12-34-56": {},
		"console=ttyS0 provision.mac=52-54-00-12-34-56 quiet": testMAC,
		"provision.mac=52:54:00:12:34:56":                     testMAC,
	} {
		if got := commandLine(text); got != want {
			t.Errorf("commandLine(%q) = %s, want %s", text, got, want)
		}
	}
}

// inNamespace gives the test a network namespace with two ends of a cable, and
// the mount namespace whose sysfs shows it. The thread is not given back.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		t.Skipf("no namespaces here: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"link add here type veth peer name there",
		"addr add 10.99.0.1/24 dev there",
		"link set there up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
}

// The agent's own DHCP, address and route, against the real dnsmasq.
func TestLease(t *testing.T) {
	inNamespace(t)
	dnsmasq, err := lookUp("", "dnsmasq")
	if err != nil {
		t.Skip("dnsmasq is not installed")
	}
	server := exec.Command(dnsmasq, "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=there", "--bind-interfaces", "--no-ping",
		"--dhcp-range=10.99.0.50,10.99.0.60,2m", "--dhcp-option=3,10.99.0.1", "--dhcp-leasefile="+t.TempDir()+"/leases", "--leasefile-ro", "--user=root", "--log-dhcp")
	server.Stdout, server.Stderr = t.Output(), t.Output()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Kill() // it may have ended
		server.Wait()         // killed: never nil
	}()

	link, err := net.InterfaceByName("here")
	if err != nil {
		t.Fatal(err)
	}
	uuid, err := host.ParseUUID("4c4c4544-0042-3510-8052-b4c04f4e3332")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{sys: Machine(), log: &Log{Console: t.Output()}, uuid: uuid}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := nic{"here", link.Index, host.MAC(link.HardwareAddr)}
	lease, err := n.ask(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.configure(&bound{c, lease}); err != nil {
		t.Fatal(err)
	}
	if err := n.configure(&bound{c, lease}); err != nil {
		t.Errorf("configuring once more: %v", err)
	}
	addrs, err := link.Addrs()
	if err != nil || len(addrs) == 0 {
		t.Fatalf("addresses are %v, %v", addrs, err)
	}
	if p := netip.MustParsePrefix(addrs[0].String()); !netip.MustParsePrefix("10.99.0.0/24").Contains(p.Addr()) || p.Bits() != 24 {
		t.Errorf("the address is %s", p)
	}
	out, err := exec.Command("ip", "-4", "route", "show", "default").Output()
	if err != nil || !strings.Contains(string(out), "via 10.99.0.1 dev here") {
		t.Errorf("the default route is %q, %v", out, err)
	}
}

// Without a server, the wait is bounded and says how far it came.
func TestNoLease(t *testing.T) {
	inNamespace(t)
	n := &network{sys: Machine(), log: &Log{Console: t.Output()}}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("the bound"))
	defer cancel()
	if _, err := n.up(ctx); err == nil || !strings.Contains(err.Error(), "no network card was found") {
		t.Errorf("up = %v: a veth is no card", err)
	}
	link, err := net.InterfaceByName("here")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.ask(ctx, nic{"here", link.Index, host.MAC(link.HardwareAddr)}); err == nil {
		t.Error("there was a lease without a server")
	}
}

// A lease of a /32 reaches its gateway all the same.
func TestGatewayOutsideOfTheNetwork(t *testing.T) {
	inNamespace(t)
	link, err := net.InterfaceByName("here")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		linkUp(link.Index),
		addAddress(link.Index, netip.MustParsePrefix("192.0.2.7/32")),
		addDefaultRoute(link.Index, netip.MustParseAddr("198.51.100.1")))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ip", "-4", "route", "show", "default").Output()
	if err != nil || !strings.Contains(string(out), "via 198.51.100.1 dev here") {
		t.Errorf("the default route is %q, %v", out, err)
	}
}

func TestNetlinkFaults(t *testing.T) {
	inNamespace(t)
	const nobody = 9999
	for name, err := range map[string]error{
		"link":    linkUp(nobody),
		"address": addAddress(nobody, netip.MustParsePrefix("10.0.0.1/24")),
		"route":   addDefaultRoute(nobody, netip.MustParseAddr("10.0.0.1")),
	} {
		if !errors.Is(err, unix.ENODEV) {
			t.Errorf("%s of an interface that does not exist: %v, want %v", name, err, unix.ENODEV)
		}
	}
}
