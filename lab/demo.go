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
	return d.Rack.demonstrate(ctx, d.Progress, []string{d.Machine.Name}, d.run)
}

// demonstrate runs a demonstration in a fresh rack, and takes that down again.
func (r *Rack) demonstrate(ctx context.Context, progress io.Writer, machines []string, run func(context.Context) error) error {
	if err := r.Down(ctx, true); err != nil { // of a run that was killed
		return err
	}
	err := run(ctx)
	if err != nil {
		r.explain(progress, machines)
	}
	if downErr := r.Down(context.WithoutCancel(ctx), err == nil); downErr != nil {
		fmt.Fprintln(progress, "take the rack down:", downErr)
	}
	return err
}

func (d Demo) run(ctx context.Context) error {
	say := func(format string, args ...any) { fmt.Fprintf(d.Progress, format+"\n", args...) }
	say("making the rack: packages, network, Nomad, the appliance")
	if err := d.Rack.Serve(ctx, d.Programs, d.Config, d.Progress); err != nil {
		return err
	}
	m := d.Machine.withDefaults()
	say("switching on %s: %s, an empty %s disk, network boot first", m.Name, m.Firmware, m.Disk)
	j, err := d.Rack.Enroll(ctx, d.Programs, m, d.Role, d.Progress, d.Progress)
	if err != nil {
		return err
	}
	if err := j.Print(d.Out); err != nil || !d.Floor {
		return err
	}
	say("measuring what the firmware, the installed disk and the kernel need by themselves")
	if err := d.Rack.PowerOff(ctx, m.Name); err != nil {
		return err
	}
	floor, err := d.Rack.MeasureFloor(ctx, m.Name, j.Host.Address)
	if err != nil {
		return err
	}
	if err := d.Rack.PowerOff(ctx, m.Name); err != nil {
		return err
	}
	hello, err := d.Rack.MeasureHello(ctx)
	if err != nil {
		return err
	}
	return j.PrintFloor(d.Out, floor, hello)
}

// Print writes the table of states and their durations.
func (j *Journey) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tTOOK\tWHAT")
	for _, p := range j.Phases() {
		fmt.Fprintf(w, "%s\t%6.1fs\t%s\n", p.Name, p.Took.Seconds(), p.What)
	}
	where := "" // in proxy mode the other server knows
	if j.Host.Address.IsValid() {
		where = ", at " + j.Host.Address.String()
	}
	fmt.Fprintf(w, "%s\t%6.1fs\tsince power-on%s\n", j.Host.State, j.Took().Seconds(), where)
	if len(j.Moves) > 0 {
		fmt.Fprintln(w, "\nPORT\tAFTER\tWHAT")
	}
	for _, m := range j.Moves {
		fmt.Fprintf(w, "moved\t%6.1fs\t%s\n", m.Time.Sub(j.PoweredOn).Seconds(), m.What)
	}
	return w.Flush()
}

// PrintFloor writes what the machine needs by itself beside what the journey
// took.
func (j *Journey) PrintFloor(out io.Writer, f Floor, h Hello) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nMEASURE\tTOOK\tFLOOR\tRATIO\tTHE FLOOR IS")
	fmt.Fprintf(w, "power-on to Ready\t%s\t%s\t%.2f\tfirmware to the first script %s, installed disk to the network %s\n",
		seconds(j.Took()), seconds(f.Total()), j.Took().Seconds()/f.Total().Seconds(), seconds(f.Firmware), seconds(f.Disk))
	fmt.Fprintf(w, "kernel to hello\t%s\t%s\t%.2f\tthe same kernel to an empty init\n", seconds(h.Agent), seconds(h.Init), h.Ratio())
	return w.Flush()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// explain tells where to look after a failure.
func (r *Rack) explain(progress io.Writer, machines []string) {
	fmt.Fprintf(progress, "\nthe logs are in %s:\n", r.Dir)
	for _, name := range []string{ProcessAppliance, ProcessNomad, ProcessRouter} {
		if exists(r.LogFile(name)) {
			fmt.Fprintf(progress, "  %s\n", r.LogFile(name))
		}
	}
	for _, name := range machines {
		lines, err := LastLines(r.ConsoleLog(name), 20)
		if err != nil {
			continue // the machine was never on
		}
		fmt.Fprintf(progress, "  %s, which ends:\n%s", r.ConsoleLog(name), joinLines(lines))
	}
}
