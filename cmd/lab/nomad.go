package main

import (
	"net"

	"github.com/spf13/cobra"

	"provision.internal/nomad/nomadtest"
)

// nomadServer is the simulated cluster as a program of its own: the rack runs it
// in its network.
func nomadServer() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "nomad",
		Short: "run a simulated Nomad cluster until it is interrupted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var lc net.ListenConfig
			l, err := lc.Listen(cmd.Context(), "tcp", address)
			if err != nil {
				return err
			}
			return (&nomadtest.Server{}).Serve(cmd.Context(), l)
		},
	}
	cmd.Flags().StringVar(&address, "listen", "127.0.0.1:4646", "address of the HTTP API")
	return cmd
}
