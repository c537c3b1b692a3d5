package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"time"

	"provision.internal/host"
	"provision.internal/web"
)

// Journey is what one machine went through between power-on and Ready.
type Journey struct {
	Host      host.Host
	PoweredOn time.Time
	Seen      time.Time
	Offered   netip.Addr // the first address that the appliance gave it, if it gave any by then
	States    []Chapter  // since the last admission
	Moves     []Move     // of its port on the router, in a rack that has one
}

// Move is a port that was put into another VLAN.
type Move struct {
	Time time.Time
	What string // "port ether3 is in lan0 now (production): the host is Configured"
}

// Chapter is the time that the host was in one state, as `provision host --json`
// tells it.
type Chapter struct {
	State host.State `json:"state"`
	Since time.Time  `json:"since"`
	Cause string     `json:"cause"`
}

// Provision runs the operators' command line against the rack's appliance.
func (r *Rack) Provision(ctx context.Context, p Programs, out, progress io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, p.Provision(), args...)
	cmd.Env = append(cmd.Environ(), "PROVISION_SOCKET="+r.Socket())
	cmd.Stdout, cmd.Stderr = out, progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("provision %s: %w", args[0], err)
	}
	return nil
}

// AwaitHost waits until ok says yes to what the appliance knows of a machine.
func (r *Rack) AwaitHost(ctx context.Context, mac host.MAC, what string, ok func(host.Host) bool) (host.Host, error) {
	var h host.Host
	for {
		var err error
		h, err = r.Client().Host(ctx, mac.String())
		if err == nil && ok(h) {
			return h, nil
		}
		select {
		case <-ctx.Done():
			return h, errors.Join(fmt.Errorf("%s: waiting until it is %s; it is %q", mac, what, h.State), ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// AwaitSeen waits until the machine has asked the appliance for something.
func (r *Rack) AwaitSeen(ctx context.Context, mac host.MAC) (host.Host, error) {
	return r.AwaitHost(ctx, mac, "seen", func(h host.Host) bool { return h.State != "" })
}

// Enroll adds a machine to the rack, switches it on, admits it with the real
// command line as soon as it is seen, and follows it to the end. progress gets
// what the command shows.
func (r *Rack) Enroll(ctx context.Context, p Programs, m Machine, role string, out, progress io.Writer) (*Journey, error) {
	m, err := r.Add(ctx, m)
	if err != nil {
		return nil, err
	}
	j := &Journey{PoweredOn: time.Now()}
	if err := r.PowerOn(ctx, m.Name); err != nil {
		return nil, err
	}
	seen, err := r.AwaitSeen(ctx, m.MAC)
	if err != nil {
		return nil, err
	}
	j.Seen, j.Offered = seen.FirstSeen, seen.Address
	if err := r.Provision(ctx, p, out, progress, "enroll", m.Name, "--mac", m.MAC.String(), "--role", role); err != nil {
		return nil, err
	}
	return j, r.tell(ctx, p, m.Name, j)
}

// tell fills j from the appliance's history.
func (r *Rack) tell(ctx context.Context, p Programs, name string, j *Journey) error {
	cmd := exec.CommandContext(ctx, p.Provision(), "host", name, "--json")
	cmd.Env = append(cmd.Environ(), "PROVISION_SOCKET="+r.Socket())
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("provision host: %w", err)
	}
	var told struct {
		Host   host.Host `json:"host"`
		States []Chapter `json:"states"`
	}
	if err := json.Unmarshal(out, &told); err != nil {
		return fmt.Errorf("provision host --json: %w", err)
	}
	j.Host, j.States = told.Host, told.States
	events, err := r.Client().Events(ctx, web.Query{Host: name, Since: j.PoweredOn})
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Kind == host.KindPort {
			j.Moves = append(j.Moves, Move{Time: e.Time, What: e.Cause})
		}
	}
	if h := j.Host; h.State != host.Ready {
		return fmt.Errorf("%s is %s, not Ready", name, h.State)
	}
	return nil
}

// Took is the time from power-on to Ready.
func (j *Journey) Took() time.Duration { return j.Host.Since.Sub(j.PoweredOn) }

// Phase is a named stretch of a journey.
type Phase struct {
	Name string
	Took time.Duration
	What string
}

// Phases are the stretches between power-on and Ready, without gaps.
func (j *Journey) Phases() []Phase {
	what := map[host.State]string{
		host.Seen:       "the operator admits it",
		host.Admitted:   "boot loader, kernel, the agent's hello, its tools",
		host.Installing: "partitions, packages, configuration, GRUB",
		host.Installed:  "reboot from the disk, first boot",
		host.Booted:     "Nomad starts",
		host.Joined:     "the configuration job",
		host.Configured: "",
	}
	all := []Phase{{"power-on", j.Seen.Sub(j.PoweredOn), "the firmware starts and asks for an address"}}
	state, since := host.Seen, j.Seen
	for _, c := range j.States {
		all = append(all, Phase{string(state), c.Since.Sub(since), what[state]})
		state, since = c.State, c.Since
	}
	return all
}
