package e2e

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"provision.internal/host"
	"provision.internal/lab"
)

// TestRouter is a rack whose router the appliance takes over, and a machine that
// is admitted by its port before anybody knows its MAC. What may reach it shows
// where its port is: the rack's bridge lets frames cross as the router is
// configured.
func TestRouter(t *testing.T) {
	r := newRig(t, withRouter)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := r.StartRouter(ctx, r.programs, r.config); err != nil {
		t.Fatal(err)
	}
	r.startAppliance(t)
	var said bytes.Buffer
	if err := r.TakeRouterOver(ctx, r.programs, &said); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if again := r.provision(t, "router", "plan"); !strings.Contains(again, "nothing to do") {
		t.Errorf("a second plan after the takeover:\n%s", again)
	}
	peer, err := r.AddNeighbour(ctx, "peer", "10.77.0.50")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Replug("peer", "ether10"); err != nil { // production, always
		t.Fatal(err)
	}

	m, err := r.Add(ctx, lab.Machine{Name: "node1", Firmware: lab.BIOS, Disk: lab.Virtio})
	if err != nil {
		t.Fatal(err)
	}
	port := r.Port(m.Name)
	r.provision(t, "enroll", m.Name, "--port", port, "--role", role, "--no-wait")
	if err := r.PowerOn(ctx, m.Name); err != nil {
		t.Fatal(err)
	}
	installing := r.awaitState(t, m, host.Installing)
	if h := r.hear(ctx, t, peer, installing.Address.String()); h {
		t.Errorf("a machine in production reaches %s, which is being installed", installing.Address)
	}
	ready := r.awaitState(t, m, host.Ready)
	if ready.Placed == nil || ready.Placed.Port != port || ready.Placed.Stage != host.StageProduction {
		t.Errorf("Ready on %+v, want production on %s", ready.Placed, port)
	}
	if !r.hear(ctx, t, peer, ready.Address.String()) {
		t.Errorf("a machine in production does not reach %s, which is Ready", ready.Address)
	}
	var moves []string
	for _, e := range r.events(t, m) {
		if e.Kind == host.KindPort {
			moves = append(moves, e.Cause)
		}
	}
	if len(moves) != 2 || !strings.Contains(moves[0], "inst0") || !strings.Contains(moves[1], "lan0") {
		t.Errorf("the port's moves are %q, want one to inst0 and one to lan0", moves)
	}
	r.provision(t, "retire", m.Name)
	r.await(t, m, "back in the idle VLAN", func(h host.Host) bool { return h.State == host.Retired && h.Placed == nil })
	if r.hear(ctx, t, peer, ready.Address.String()) {
		t.Errorf("a machine in production reaches %s, which is retired", ready.Address)
	}
}

// hear reports whether a ping is answered, which a machine with a busy processor
// may do late.
func (r *rig) hear(ctx context.Context, t *testing.T, inside func(...string) []string, address string) bool {
	t.Helper()
	argv := inside("ping", "-n", "-c", "3", "-i", "0.5", "-W", "2", address)
	err := exec.CommandContext(ctx, argv[0], argv[1:]...).Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return err == nil
}
