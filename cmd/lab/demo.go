package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provision.internal/lab"
)

func demo(f *rackFlags) *cobra.Command {
	d := lab.Demo{Role: "worker"}
	var m machineFlags
	var machines int
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "the whole journey of a blank machine to Ready, then take the rack down",
		Long: `The whole journey of a blank machine to Ready, then take the rack down. With
--machines, an empty rack of several machines becomes a cluster of its own.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if d.Rack, err = f.open(); err != nil {
				return err
			}
			if d.Programs, err = f.programs(); err != nil {
				return err
			}
			if d.Machine, err = m.machine("node1"); err != nil {
				return err
			}
			d.Out, d.Progress = cmd.OutOrStdout(), cmd.ErrOrStderr()
			ctx, cancel := withLimit(cmd.Context(), limit)
			defer cancel()
			if machines == 1 {
				d.Config = cmp.Or(d.Config, "examples/lab.yaml")
				return d.Run(ctx)
			}
			rack := lab.RackDemo{
				Rack: d.Rack, Programs: d.Programs, Config: cmp.Or(d.Config, "examples/rack.yaml"), Out: d.Out, Progress: d.Progress,
			}
			if rack.Machines, err = rackOf(machines); err != nil {
				return err
			}
			return rack.Run(ctx)
		},
	}
	fl := cmd.Flags()
	m.add(fl)
	fl.IntVar(&machines, "machines", 1, "how many; from two on they are of different kinds, and the configuration names them")
	fl.StringVar(&d.Config, "config", "", "the appliance's configuration; examples/lab.yaml, or examples/rack.yaml for several machines")
	fl.BoolVar(&d.Floor, "floor", false, "measure also what the firmware and the installed disk need by themselves")
	fl.DurationVar(&limit, "limit", 20*time.Minute, "give up after this time")
	return cmd
}

// rackOf returns n machines, no two of the same kind beside each other.
func rackOf(n int) ([]lab.Machine, error) {
	kinds := []lab.Machine{
		{Firmware: lab.UEFI, Disk: lab.NVMe},
		{Firmware: lab.UEFI, HTTP: true, Disk: lab.Virtio},
		{Firmware: lab.BIOS, Disk: lab.SATA},
	}
	const most = 9 // ports of the rack's network
	if n < 1 || n > most {
		return nil, fmt.Errorf("--machines %d: want 1 to %d", n, most)
	}
	var all []lab.Machine
	for i := range n {
		m := kinds[i%len(kinds)]
		m.Name = fmt.Sprintf("node%d", i+1)
		all = append(all, m)
	}
	return all, nil
}
