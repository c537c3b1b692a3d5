package ports

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"provision.internal/host"
	"provision.internal/router/ros"
)

const portMenu = "/interface/bridge/port"

var portProperties = []string{"interface", "bridge", "pvid", "edge"}

// Move puts port into the VLAN of stage, unless it is there, and reads it back. It
// takes its turn among everything that changes the router, and makes at most five
// calls, with the login.
//
// On the way to a production VLAN with another subnet the link goes down for a
// moment, so that a running system asks for an address there: see bounce.
//
// When mac is not zero the port is moved for that machine, and only while nobody
// else is behind it and the machine is not elsewhere: otherwise ErrAmbiguous or
// ErrNotFound is wrapped. A machine that is silent may be moved for in advance.
//
// A port that is not for hosts is left alone, which is no error: the machine on
// it is where the configuration wants it. After any other error the port may have
// been moved or not, and Move may be repeated.
func (p *Ports) Move(ctx context.Context, mac host.MAC, port string, stage host.Stage) (host.Moved, error) {
	if err := p.ForHosts(port); err != nil {
		c, _ := p.Config.Port(port)
		return host.Moved{Port: port, VLAN: c.VLAN}, nil
	}
	vlan, ok := p.Config.VLAN(p.vlan(stage))
	if !ok {
		return host.Moved{}, fmt.Errorf("move port %s: the configuration has no VLAN %q for the stage %s", port, p.vlan(stage), stage)
	}
	want := ros.Row{"pvid": strconv.Itoa(vlan.ID), "edge": edge(stage)}
	moved := host.Moved{Port: port, VLAN: vlan.Name}
	err := p.Device.Exclusive(ctx, "move port "+port+" to "+vlan.Name, func(c *ros.Conn) error {
		if !mac.IsZero() {
			if err := p.alone(ctx, c, mac, port); err != nil {
				return err
			}
		}
		now, err := p.row(ctx, c, port)
		if err != nil {
			return err
		}
		moved.Was = p.serves(now["pvid"]).VLAN
		if holds(now, want) {
			return nil
		}
		if stage == host.StageProduction && p.elsewhere(now["pvid"], vlan) {
			err = bounce(ctx, c, port, now[".id"], want)
		} else {
			err = c.Set(ctx, portMenu, now[".id"], want)
		}
		if err != nil {
			return err
		}
		moved.Changed = true
		if now, err = p.row(ctx, c, port); err != nil {
			return err
		}
		if !holds(now, want) {
			return fmt.Errorf("%w: the router shows pvid %s and edge %s, not %s and %s",
				ErrNotMoved, now["pvid"], now["edge"], want["pvid"], want["edge"])
		}
		return nil
	})
	if err != nil {
		return host.Moved{}, fmt.Errorf("move port %s to %s: %w", port, vlan.Name, err)
	}
	return moved, nil
}

// edge is what the port tells its spanning tree. While a machine boots, its port
// must forward at once: firmware gives up asking for an address before a port has
// learned that it is an edge. Otherwise the router finds that out, as it does
// when nothing is configured.
func edge(stage host.Stage) string {
	if stage == host.StageInstall {
		return "yes"
	}
	return "auto"
}

// holds reports whether row has what is wanted.
func holds(row, want ros.Row) bool {
	for property, value := range want {
		if row[property] != value {
			return false
		}
	}
	return true
}

// row reads the bridge's row of port.
func (p *Ports) row(ctx context.Context, c *ros.Conn, port string) (ros.Row, error) {
	rows, err := c.Print(ctx, portMenu, portProperties, "?interface="+port)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row["interface"] == port && row["bridge"] == p.Config.Bridge {
			return row, nil
		}
	}
	return nil, fmt.Errorf("the router has no such port in the bridge %s: run provision router apply", p.Config.Bridge)
}

// alone returns nil when no other machine than mac is behind port, and mac is
// behind no other.
func (p *Ports) alone(ctx context.Context, c *ros.Conn, mac host.MAC, port string) error {
	rows, err := c.Print(ctx, hostMenu, hostProperties, "?on-interface="+port, "?mac-address="+rosMAC(mac), "?#|")
	if err != nil {
		return err
	}
	var t table
	p.learn(&t, rows)
	if elsewhere := slices.DeleteFunc(t.ports[mac], func(on string) bool { return on == port }); len(elsewhere) > 0 {
		return fmt.Errorf("%s: %w there, but on port %s", mac, ErrNotFound, elsewhere[0])
	}
	if doubt := t.doubt(port, mac); doubt != "" {
		return fmt.Errorf("%s: %w: %s", mac, ErrAmbiguous, doubt)
	}
	return nil
}
