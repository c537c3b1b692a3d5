package ports

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"provision.internal/host"
	"provision.internal/router/ros"
)

// Find returns the place of one machine. ErrNotFound and ErrAmbiguous are wrapped
// with what to do; an ambiguous place still says what is known.
func (p *Ports) Find(ctx context.Context, mac host.MAC) (host.Place, error) {
	sight, err := p.Look(ctx)
	if err != nil {
		return host.Place{}, err
	}
	place, ok := sight.Places[mac]
	switch {
	case !ok:
		return place, fmt.Errorf("%s: %w: switch it on, or look whether it hangs on this router", mac, ErrNotFound)
	case place.Doubt != "":
		return place, fmt.Errorf("%s: %w: %s", mac, ErrAmbiguous, place.Doubt)
	}
	return place, nil
}

// table is what the router knows of machines.
type table struct {
	ports      map[host.MAC][]string // on which a machine shows, sorted
	behind     map[string][]host.MAC // a port, sorted
	neighbours map[string][]neighbour
}

// neighbour is a device that announces itself: a switch, a router, or a host that
// runs LLDP.
type neighbour struct {
	mac  host.MAC
	name string
}

func (p *Ports) read(ctx context.Context, c *ros.Conn) (table, error) {
	t := table{neighbours: map[string][]neighbour{}}
	rows, err := c.Print(ctx, hostMenu, hostProperties)
	if err != nil {
		return t, err
	}
	p.learn(&t, rows)
	rows, err = c.Print(ctx, "/ip/neighbor", []string{"interface", "mac-address", "identity", "platform"})
	if err != nil {
		return t, err
	}
	t.meet(rows)
	return t, nil
}

// meet takes in rows of /ip/neighbor.
func (t *table) meet(rows []ros.Row) {
	for _, row := range rows {
		mac, err := host.ParseMAC(row["mac-address"])
		if err != nil {
			continue // a neighbour without one is none of Ethernet
		}
		name := strings.TrimSpace(row["identity"] + " " + row["platform"])
		// RouterOS lists the port and the bridge that it is in: "ether7,br0".
		for port := range strings.SplitSeq(row["interface"], ",") {
			t.neighbours[port] = append(t.neighbours[port], neighbour{mac, name})
		}
	}
}

const hostMenu = "/interface/bridge/host"

var hostProperties = []string{"mac-address", "on-interface", "bridge", "local"}

// learn takes in rows of the bridge's host table. A machine has a row for each
// VLAN in which it was heard. local=true are the router's own addresses.
func (p *Ports) learn(t *table, rows []ros.Row) {
	t.ports, t.behind = map[host.MAC][]string{}, map[string][]host.MAC{}
	for _, row := range rows {
		mac, err := host.ParseMAC(row["mac-address"])
		port := row["on-interface"]
		if err != nil || port == "" || row["local"] == "true" || row["bridge"] != p.Config.Bridge || slices.Contains(t.ports[mac], port) {
			continue
		}
		t.ports[mac] = append(t.ports[mac], port)
		t.behind[port] = append(t.behind[port], mac)
	}
	for _, ports := range t.ports {
		slices.Sort(ports)
	}
	for _, macs := range t.behind {
		slices.SortFunc(macs, func(a, b host.MAC) int { return strings.Compare(a.String(), b.String()) })
	}
}

// place says where mac is. On a port that is never moved it does not matter who
// else is there.
func (p *Ports) place(t table, mac host.MAC) host.Place {
	ports := t.ports[mac]
	if len(ports) != 1 {
		return host.Place{Doubt: "it shows on several ports at the same time (" + strings.Join(ports, ", ") + "): look for a loop, or for two machines with one MAC address"}
	}
	place := host.Place{Port: ports[0], Fixed: p.ForHosts(ports[0]) != nil}
	if !place.Fixed {
		place.Doubt = t.doubt(place.Port, mac)
	}
	return place
}

// doubt says why port is not that of mac alone; empty when it is.
func (t table) doubt(port string, mac host.MAC) string {
	others := slices.DeleteFunc(slices.Clone(t.behind[port]), func(m host.MAC) bool { return m == mac })
	if len(others) > 0 {
		return fmt.Sprintf("port %s has other machines behind it (%s): give each machine a port of its own", port, crowd(others))
	}
	for _, n := range t.neighbours[port] {
		if n.mac != mac {
			return fmt.Sprintf("port %s leads to another device, %s: connect the machine to the router itself", port, strings.TrimSpace(n.name+" "+n.mac.String()))
		}
	}
	return ""
}

// crowd names a few of macs, which are sorted.
func crowd(macs []host.MAC) string {
	const most = 4
	var names []string
	for _, m := range macs[:min(len(macs), most)] {
		names = append(names, m.String())
	}
	if n := len(macs) - most; n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	return strings.Join(names, ", ")
}

// rosMAC is mac as RouterOS writes and compares it.
func rosMAC(mac host.MAC) string { return strings.ToUpper(mac.String()) }
