package lab

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// RackDemo is an empty rack of several machines that becomes a cluster: the
// configuration says which of them are its servers, and what each is for.
type RackDemo struct {
	Rack     *Rack
	Programs Programs
	Config   string    // of the appliance: its hosts are the machines
	Machines []Machine // by the names that the configuration gives
	Out      io.Writer // the result
	Progress io.Writer // what happens meanwhile
}

// Run goes the whole way and takes the rack down again, however it ends. After
// a failure the rack's folder stays, and Run prints where its logs are.
func (d RackDemo) Run(ctx context.Context) error {
	var names []string
	for _, m := range d.Machines {
		names = append(names, m.Name)
	}
	return d.Rack.demonstrate(ctx, d.Progress, names, d.run)
}

func (d RackDemo) run(ctx context.Context) error {
	say := func(format string, args ...any) { fmt.Fprintf(d.Progress, format+"\n", args...) }
	say("making the rack: packages, network, the appliance")
	if err := d.Rack.Serve(ctx, d.Programs, d.Config, d.Progress); err != nil {
		return err
	}
	began := time.Now()
	if err := d.provision(ctx, "cluster", "init", "--no-wait"); err != nil {
		return err
	}
	say("switching on %d machines with empty disks, network boot first", len(d.Machines))
	if err := d.enroll(ctx); err != nil {
		return err
	}
	fmt.Fprintf(d.Out, "from nothing to a cluster of %d machines in %.1fs\n", len(d.Machines), time.Since(began).Seconds())
	for _, shown := range [][]string{{"hosts"}, {"cluster", "status"}, {"cluster", "policies", "plan"}, {"config", "status"}} {
		fmt.Fprintf(d.Out, "\n$ provision")
		for _, word := range shown {
			fmt.Fprintf(d.Out, " %s", word)
		}
		fmt.Fprintln(d.Out)
		if err := d.provision(ctx, shown...); err != nil {
			return err
		}
	}
	return nil
}

func (d RackDemo) provision(ctx context.Context, args ...string) error {
	return d.Rack.Provision(ctx, d.Programs, d.Out, d.Progress, args...)
}

// enroll takes all machines from power-on to Ready, side by side.
func (d RackDemo) enroll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, m := range d.Machines {
		all.Go(func() {
			if err := d.enrollOne(ctx, m); err != nil {
				cancel(fmt.Errorf("%s: %w", m.Name, err)) // the first cause is kept
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (d RackDemo) enrollOne(ctx context.Context, m Machine) error {
	m, err := d.Rack.Add(ctx, m)
	if err != nil {
		return err
	}
	if err := d.Rack.PowerOn(ctx, m.Name); err != nil {
		return err
	}
	if _, err := d.Rack.AwaitSeen(ctx, m.MAC); err != nil {
		return err
	}
	return d.Rack.Provision(ctx, d.Programs, io.Discard, d.Progress, "enroll", m.Name)
}
