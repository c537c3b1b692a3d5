package main

import (
	"time"

	"github.com/spf13/cobra"

	"provision.internal/lab"
)

func demo(f *rackFlags) *cobra.Command {
	d := lab.Demo{Role: "worker"}
	var m machineFlags
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "the whole journey of a blank machine to Ready, then take the rack down",
		Args:  cobra.NoArgs,
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
			return d.Run(ctx)
		},
	}
	fl := cmd.Flags()
	m.add(fl)
	fl.StringVar(&d.Config, "config", "examples/lab.yaml", "the appliance's configuration")
	fl.BoolVar(&d.Floor, "floor", false, "measure also what the firmware and the installed disk need by themselves")
	fl.DurationVar(&limit, "limit", 15*time.Minute, "give up after this time")
	return cmd
}
