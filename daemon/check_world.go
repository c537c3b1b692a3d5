package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"provision.internal/dhcp"
	"provision.internal/nomad"
)

func checkNomad(ctx context.Context, cfg nomad.Config) Finding {
	what := "nomad " + cfg.Address
	cluster, err := nomad.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return bad(what, "correct the nomad section", "%v", err)
	}
	leader, err := cluster.Ping(ctx)
	if err != nil {
		return bad(what, "start it, or correct the nomad section; machines stay Booted until it answers", "%v", err)
	}
	return good(what, "answers; its leader is %s", leader)
}

// patience is how long another DHCP server may take to answer.
const patience = 2 * time.Second

// checkRivals asks for an address on n, to see who else gives them. Two full
// servers on one wire give machines addresses at random, and half of them boot
// nothing; a proxy without a full server gives them none.
func checkRivals(ctx context.Context, cfg Config, n dhcp.Network) Finding {
	what := "DHCP servers on " + n.Interface
	others, err := offers(ctx, n.Interface, cfg.Server.Address)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Finding{Verdict: Skipped, What: what, Text: "can be heard by root only", Do: "run provision check as root"}
	case err != nil:
		return Finding{Verdict: Skipped, What: what, Text: err.Error()}
	case n.DHCP == dhcp.Full && len(others) > 0:
		return bad(what, "turn it off, or set dhcp: proxy for network "+n.Name, "%s gives addresses too", join(others))
	case n.DHCP == dhcp.Proxy && len(others) == 0:
		return bad(what, "start the network's DHCP server, or set dhcp: full for network "+n.Name, "none answers, and a proxy gives no addresses")
	case n.DHCP == dhcp.Proxy:
		return good(what, "%s gives the addresses", join(others))
	}
	return good(what, "none but ours")
}

func join(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

// offers broadcasts a DISCOVER and returns the servers that answer, except own.
func offers(ctx context.Context, ifname string, own netip.Addr) ([]netip.Addr, error) {
	ifi, err := net.InterfaceByName(ifname)
	if err != nil {
		return nil, err
	}
	c, err := nclient4.New(ifname, nclient4.WithTimeout(patience), nclient4.WithRetry(1))
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // nothing is buffered
	discover, err := dhcpv4.NewDiscovery(ifi.HardwareAddr, dhcpv4.WithBroadcast(true))
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	_, err = c.SendAndRead(ctx, nclient4.DefaultServers, discover, func(p *dhcpv4.DHCPv4) bool {
		id, ok := netip.AddrFromSlice(p.ServerIdentifier().To4())
		if ok && p.MessageType() == dhcpv4.MessageTypeOffer && id != own && !slices.Contains(found, id) {
			found = append(found, id)
		}
		return false // go on listening until the time is up
	})
	if err != nil && !errors.Is(err, nclient4.ErrNoResponse) {
		return nil, err
	}
	return found, nil
}

// holder names the process that has a port, where this user may see it.
func holder(network string, port uint16) string {
	for _, table := range []string{network[:3], network[:3] + "6"} {
		inode := socketInode("/proc/thread-self/net/"+table, port)
		if inode == "" {
			continue
		}
		if pid, name := processWith("socket:[" + inode + "]"); name != "" {
			return fmt.Sprintf(" by %s, process %s", name, pid)
		}
	}
	return ""
}

// socketInode looks the port up in a table of proc(5): its second column is the
// local address in hexadecimal, its tenth the inode.
func socketInode(table string, port uint16) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // only read
	suffix := fmt.Sprintf(":%04X", port)
	const listening, unconnected = "0A", "07"
	for lines := bufio.NewScanner(f); lines.Scan(); {
		cols := strings.Fields(lines.Text())
		if len(cols) > 9 && strings.HasSuffix(cols[1], suffix) && (cols[3] == listening || cols[3] == unconnected) {
			return cols[9]
		}
	}
	return ""
}

func processWith(link string) (pid, name string) {
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "", ""
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err != nil || target != link {
			continue
		}
		pid = strings.Split(fd, "/")[2]
		comm, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "", ""
		}
		return pid, strings.TrimSpace(string(comm))
	}
	return "", ""
}
