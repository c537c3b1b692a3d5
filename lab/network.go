package lab

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

func (r *Rack) namespace() string { return "rack-" + r.Name }

// Inside returns the command that runs argv in the rack's network.
func (r *Rack) Inside(argv ...string) []string {
	return append([]string{"ip", "netns", "exec", r.namespace()}, argv...)
}

// bridgeMAC is the bridge's own: one that takes its ports' has none when it has
// no port, and is then no Ethernet to a DHCP server.
const bridgeMAC = "52:54:00:77:00:01"

// makeNetwork makes the namespace with its bridge. The bridge forwards at once
// (a forward delay costs each boot 15 s, spanning tree more) and floods
// multicast, as a plain switch does.
func (r *Rack) makeNetwork(ctx context.Context) error {
	if r.IsUp() {
		return nil
	}
	if err := run(ctx, "ip", "netns", "add", r.namespace()); err != nil {
		return err
	}
	for _, line := range []string{
		"link set lo up",
		"link add " + bridge + " address " + bridgeMAC + " type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
		"addr add " + Address + subnet + " dev " + bridge,
		"link set " + bridge + " up",
	} {
		if err := r.ip(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// addTap makes the machine's network card end at the bridge. A tap that is there
// already is kept.
func (r *Rack) addTap(ctx context.Context, name string) error {
	if r.ip(ctx, "link show "+name) == nil {
		return nil
	}
	for _, line := range []string{
		"tuntap add dev " + name + " mode tap",
		"link set " + name + " master " + bridge + " up",
	} {
		if err := r.ip(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// AddNeighbour makes a second namespace on the bridge, for a server that must
// not share the appliance's ports, and returns what Inside does for it. In a rack
// with a router it hangs on a port of its own.
func (r *Rack) AddNeighbour(ctx context.Context, name, address string) (func(argv ...string) []string, error) {
	ns := r.namespace() + "." + name
	inside := func(argv ...string) []string { return append([]string{"ip", "netns", "exec", ns}, argv...) }
	if err := run(ctx, "ip", "netns", "add", ns); err != nil {
		return nil, err
	}
	for _, line := range []string{
		"link add " + name + " type veth peer name eth0 netns " + ns,
		"link set " + name + " master " + bridge + " up",
	} {
		if err := r.ip(ctx, line); err != nil {
			return nil, err
		}
	}
	if r.Running(ProcessRouter) {
		if _, err := r.plug(name); err != nil {
			return nil, err
		}
	}
	for _, line := range []string{"link set lo up", "addr add " + address + subnet + " dev eth0", "link set eth0 up"} {
		if err := run(ctx, "ip", append([]string{"-n", ns}, strings.Fields(line)...)...); err != nil {
			return nil, err
		}
	}
	return inside, nil
}

// removeNetwork removes the rack's namespaces, and with them every device in
// them.
func (r *Rack) removeNetwork(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "ip", "netns", "list").Output()
	if err != nil {
		return fmt.Errorf("list network namespaces: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		ns := strings.Fields(line + " -")[0]
		if ns != r.namespace() && !strings.HasPrefix(ns, r.namespace()+".") {
			continue
		}
		if err := run(ctx, "ip", "netns", "delete", ns); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rack) ip(ctx context.Context, line string) error {
	return run(ctx, "ip", append([]string{"-n", r.namespace()}, strings.Fields(line)...)...)
}

// run runs a command and puts what it said into the error.
func run(ctx context.Context, name string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}
