package ports

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"provision.internal/router"
	"provision.internal/router/ros"
)

// A machine keeps the address of its old subnet until it renews its lease, unless
// its link goes down. A disabled port is configuration, which survives everything;
// so the router itself gets an entry that enables the port before the port is
// disabled, and that goes once it has. Whatever comes in between, a cut, a reboot,
// or somebody's safe mode that takes some of it back: as long as the port may be
// disabled the entry is there, and runs.

// ErrBounce: the router has not carried out the script that moves a port.
var ErrBounce = errors.New("the router did not take the link down and the move with it")

// downFor is the interval of the entry: how long the link is down at most, in the
// router's notation. A shorter one could end before the machine has noticed.
const downFor = "00:00:02"

// elsewhere reports whether a machine needs another address when its port leaves
// pvid for vlan: both are known to have subnets, and not the same.
func (p *Ports) elsewhere(pvid string, vlan router.VLAN) bool {
	old, ok := p.Config.VLAN(p.serves(pvid).VLAN)
	return ok && old.Address.IsValid() && vlan.Address.IsValid() && old.Address.Masked() != vlan.Address.Masked()
}

// bounce sets the row of port and takes its link down for a moment. It is one call,
// which the router carries out without us: no cut link can come in between.
func bounce(ctx context.Context, c *ros.Conn, port, id string, want ros.Row) error {
	done, err := c.Call(ctx, "/execute", "=as-string=", "=script="+bounceScript(port, id, want))
	if err != nil {
		return err
	}
	// What a script fails with is told as its output.
	if said := strings.TrimSpace(done["ret"]); said != "" {
		return fmt.Errorf("%w: %q", ErrBounce, said)
	}
	return nil
}

// bounceScript is in the order that is safe: the entry, the port, the link. A port
// that is disabled already has no link to take down, and stays disabled.
func bounceScript(port, id string, want ros.Row) string {
	name, set := router.Quote(bounceEntry(port)), "/interface/bridge/port set "+id+" pvid="+want["pvid"]+" edge="+want["edge"]
	return strings.Join([]string{
		":local link [/interface/ethernet find where name=" + router.Quote(port) + "]",
		":if ([/interface/ethernet get $link disabled]) do={ " + set + " } else={",
		"/system/scheduler remove [find where name=" + name + "]",
		"/system/scheduler add name=" + name + " interval=" + downFor + " policy=read,write" +
			" comment=" + router.Quote("provision: enables "+port+" again") + " on-event=" + router.Quote(linkUpScript(port)),
		set,
		"/interface/ethernet disable $link",
		"}",
	}, "\n")
}

// patience is how often the entry runs at most, should it never find the port
// disabled: an administrator's wish to have it so must not meet an old entry.
const patience = 5

// linkUpScript enables the port. An entry that runs before the port is disabled
// must not go then.
func linkUpScript(port string) string {
	return strings.Join([]string{
		":local link [/interface/ethernet find where name=" + router.Quote(port) + "]",
		":local entry [/system/scheduler find where name=" + router.Quote(bounceEntry(port)) + "]",
		":local done [/interface/ethernet get $link disabled]",
		fmt.Sprintf(":if ([/system/scheduler get $entry run-count] >= %d) do={ :set done true }", patience),
		"/interface/ethernet enable $link",
		":if ($done) do={ /system/scheduler remove $entry }",
	}, "\n")
}

// bounceEntry names the entry in /system/scheduler that enables port again.
func bounceEntry(port string) string { return "provision-link-" + port }
