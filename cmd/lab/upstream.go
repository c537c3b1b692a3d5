package main

import (
	"net"

	"github.com/spf13/cobra"

	"provision.internal/lab"
)

// upstream stands in for Void's servers as a program of its own: the rack runs it
// in its network.
func upstream() *cobra.Command {
	var address, control string
	cmd := &cobra.Command{
		Use:   "upstream DIR",
		Short: "serve a folder of repositories, with faults on demand, until it is interrupted",
		Long: `Serves a folder over HTTP as Void's servers do. What shall go wrong is told
through the control socket; of several faults the first whose path fits counts:

  curl --unix-socket SOCKET -X PUT http://upstream/faults -d '[
    {"path": "*.xbps", "cut": 100000, "times": 1},
    {"path": "/current/x86_64-repodata", "status": 404},
    {"path": "linux*", "rate": 50000}]'
  curl --unix-socket SOCKET -X PUT http://upstream/faults -d '[]'
  curl --unix-socket SOCKET http://upstream/requests`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var lc net.ListenConfig
			files, err := lc.Listen(cmd.Context(), "tcp", address)
			if err != nil {
				return err
			}
			told, err := lc.Listen(cmd.Context(), "unix", control)
			if err != nil {
				return err
			}
			return (&lab.Upstream{Dir: args[0]}).Serve(cmd.Context(), files, told)
		},
	}
	cmd.Flags().StringVar(&address, "listen", "127.0.0.1:8081", "address of the files")
	cmd.Flags().StringVar(&control, "control", "upstream.sock", "unix socket of whoever tells it what shall go wrong")
	return cmd
}
