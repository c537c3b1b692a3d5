package lab

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Demo is the main job, end to end: a rack, a blank machine, its way to Ready.
type Demo struct {
	Rack     *Rack
	Programs Programs
	Config   string // of the appliance
	Machine  Machine
	Role     string
	Floor    bool      // measure the floor as well
	Out      io.Writer // the result
	Progress io.Writer // what happens meanwhile
}

// Run goes the whole way and takes the rack down again, however it ends. After
// a failure the rack's folder stays, and Run prints where its logs are.
func (d Demo) Run(ctx context.Context) error {
	r := d.Rack
	if err := r.Down(ctx, true); err != nil { // of a run that was killed
		return err
	}
	err := d.run(ctx)
	if err != nil {
		d.explain()
	}
	if downErr := r.Down(context.WithoutCancel(ctx), err == nil); downErr != nil {
		fmt.Fprintln(d.Progress, "take the rack down:", downErr)
	}
	return err
}

func (d Demo) run(ctx context.Context) error {
	say := func(format string, args ...any) { fmt.Fprintf(d.Progress, format+"\n", args...) }
	say("making the rack: packages, network, Nomad, the appliance")
	if err := d.Rack.Serve(ctx, d.Programs, d.Config); err != nil {
		return err
	}
	m := d.Machine.withDefaults()
	say("switching on %s: %s, an empty %s disk, network boot first", m.Name, m.Firmware, m.Disk)
	j, err := d.Rack.Enroll(ctx, d.Programs, m, d.Role, d.Progress, d.Progress)
	if err != nil {
		return err
	}
	var floor *Floor
	if d.Floor {
		say("measuring what the firmware and the installed disk need by themselves")
		if err := d.Rack.PowerOff(ctx, m.Name); err != nil {
			return err
		}
		f, err := d.Rack.MeasureFloor(ctx, m.Name, j.Host.Address)
		if err != nil {
			return err
		}
		floor = &f
	}
	return j.Print(d.Out, floor)
}

// Print writes the table of states and their durations, and the floor beside it.
func (j *Journey) Print(out io.Writer, floor *Floor) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tTOOK\tWHAT")
	for _, p := range j.Phases() {
		fmt.Fprintf(w, "%s\t%6.1fs\t%s\n", p.Name, p.Took.Seconds(), p.What)
	}
	fmt.Fprintf(w, "%s\t%6.1fs\tsince power-on, at %s\n", j.Host.State, j.Took().Seconds(), j.Host.Address)
	if floor != nil {
		fmt.Fprintf(w, "\t\t\n")
		fmt.Fprintf(w, "floor\t%6.1fs\tfirmware to the first script %s, installed disk to the network %s\n",
			floor.Total().Seconds(), seconds(floor.Firmware), seconds(floor.Disk))
		fmt.Fprintf(w, "ratio\t%6.2f\tpower-on to Ready, over the floor\n", j.Took().Seconds()/floor.Total().Seconds())
	}
	return w.Flush()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// explain tells where to look after a failure.
func (d Demo) explain() {
	r := d.Rack
	fmt.Fprintf(d.Progress, "\nthe logs are in %s:\n", r.Dir)
	for _, name := range []string{ProcessAppliance, ProcessNomad} {
		if exists(r.LogFile(name)) {
			fmt.Fprintf(d.Progress, "  %s\n", r.LogFile(name))
		}
	}
	lines, err := LastLines(r.ConsoleLog(d.Machine.Name), 20)
	if err != nil {
		return // the machine was never on
	}
	fmt.Fprintf(d.Progress, "  %s, which ends:\n%s", r.ConsoleLog(d.Machine.Name), joinLines(lines))
}
