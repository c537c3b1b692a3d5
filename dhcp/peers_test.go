package dhcp

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"provision.internal/dhcp/dhcptest"
	"provision.internal/host"
)

// The real clients of Debian, each asked in its own way, several times, with
// other identifiers each time: the machine keeps its address.
func TestRealClients(t *testing.T) {
	t.Run("dhclient", func(t *testing.T) {
		p := newPeer(t, "dhclient")
		conf := p.file("dhclient.conf", "")
		script := p.file("script", "#!/bin/sh\n[ -z \"$new_ip_address\" ] || echo \"got $new_ip_address $new_subnet_mask $new_routers $new_host_name\"\n")
		for _, id := range []string{"", "send dhcp-client-identifier 01:02:03:04;", `send dhcp-client-identifier "node-a";`} {
			if err := os.WriteFile(conf, []byte(id+"\nrequest subnet-mask, routers, host-name;\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			out := p.run("dhclient", "-4", "-1", "-d", "-v", "-cf", conf, "-lf", p.path("leases"+fmt.Sprint(len(id))), "-pf", p.path("pid"), "-sf", script, "cli")
			p.check(out, regexp.MustCompile(`got (\S+) 255\.255\.0\.0 10\.77\.0\.1 node-real`))
		}
	})
	t.Run("udhcpc", func(t *testing.T) {
		p := newPeer(t, "udhcpc")
		script := p.file("script", "#!/bin/sh\n[ \"$1\" != bound ] || echo \"got $ip $subnet $router $hostname\"\n")
		for _, id := range [][]string{nil, {"-C"}, {"-x", "0x3d:0102030405"}} {
			args := append([]string{"-i", "cli", "-f", "-q", "-n", "-s", script}, id...)
			p.check(p.run("udhcpc", args...), regexp.MustCompile(`got (\S+) 255\.255\.0\.0 10\.77\.0\.1 node-real`))
		}
	})
	t.Run("dhcpcd", func(t *testing.T) {
		p := newPeer(t, "dhcpcd")
		script := p.file("script", "#!/bin/sh\n[ -z \"$new_ip_address\" ] || echo \"got $new_ip_address $new_subnet_mask $new_routers $new_host_name\"\n")
		for _, id := range []string{"clientid", "duid", "clientid node-a"} {
			conf := p.file("dhcpcd.conf", id+"\nnoarp\noption host_name, routers, subnet_mask\n")
			// In a file system of its own: it would remember leases in ours.
			out := p.run("sh", "-c", `mount -t tmpfs none /var/lib/dhcpcd && exec dhcpcd "$@"`, "dhcpcd", "-4", "-1", "-B", "--noconfigure", "-t", "20", "-f", conf, "-c", script, "cli")
			p.check(out, regexp.MustCompile(`got (\S+) 255\.255\.0\.0 10\.77\.0\.1 node-real`))
		}
	})
}

// peer is a server and one machine on which a real client runs.
type peer struct {
	*testing.T
	cable  dhcptest.Cable
	leases *memory
	dir    string
	first  netip.Addr
}

func newPeer(t *testing.T, program string) *peer {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed; make deps installs it", program)
	}
	c := newCable(t)
	p := &peer{T: t, cable: c, leases: &memory{}, dir: t.TempDir()}
	mac, err := host.ParseMAC(strings.TrimSpace(run(t, "ip", "netns", "exec", c.Client, "cat", "/sys/class/net/cli/address")))
	if err != nil {
		t.Fatal(err)
	}
	_, people, _ := start(t, c, Config{Networks: []Network{small()}}, p.leases)
	people.call(mac, "node-real")
	return p
}

func (p *peer) path(name string) string { return filepath.Join(p.dir, name) }

func (p *peer) file(name, text string) string {
	p.Helper()
	if err := os.WriteFile(p.path(name), []byte(text), 0o755); err != nil {
		p.Fatal(err)
	}
	return p.path(name)
}

// run runs a client in the machine's namespace until it says that it has an
// address, or ends.
func (p *peer) run(name string, args ...string) string {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", p.cable.Client, name}, args...)...)
	cmd.WaitDelay = time.Second // dhcpcd's helpers keep its output open
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	out.found = func() { cancel() }
	_ = cmd.Run() // what counts is what it says
	return out.text.String()
}

// output collects what a client prints, and calls found when dhclient, which does
// not end by itself in the foreground, has told its address.
type output struct {
	text  bytes.Buffer // not embedded: its ReadFrom would go around Write
	found func()
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.text.Write(b)
	if strings.Contains(o.text.String(), "bound to ") {
		o.found()
	}
	return n, err
}

// check finds the address that the client says it got, which must be stored
// and the same as last time.
func (p *peer) check(out string, pattern *regexp.Regexp) {
	p.Helper()
	found := pattern.FindStringSubmatch(out)
	if found == nil {
		p.Fatalf("no %q in:\n%s", pattern, out)
	}
	addr, err := netip.ParseAddr(found[1])
	if err != nil {
		p.Fatal(err)
	}
	if _, ok := p.leases.lease(addr); !ok {
		p.Errorf("the client has %s, which is not stored", addr)
	}
	if p.first.IsValid() && addr != p.first {
		p.Errorf("with another identifier the client has %s, had %s", addr, p.first)
	}
	p.first = addr
}
