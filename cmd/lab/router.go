package main

import "github.com/spf13/cobra"

// simulatedRouter is the rack's router as a program of its own: the rack runs it
// in a network of its own.
func simulatedRouter(f *rackFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "router",
		Short: "run the rack's simulated MikroTik router until it is interrupted",
		Long: `Runs the router of a rack, which lab up and lab demo start when the configuration has a router
section. Frames cross the rack's bridge only between ports of one VLAN, as the router is configured.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.open()
			if err != nil {
				return err
			}
			return r.RunRouter(cmd.Context(), cmd.OutOrStdout())
		},
	}
}
