package main

import (
	"encoding/json"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"provision.internal/lab/bench"
)

func benchPeers(f *rackFlags) *cobra.Command {
	o := bench.Options{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bench-peers",
		Short: "measure our servers beside Debian's in one run",
		Long: `Runs the daemon and Debian's servers in turn on the same work, in network
namespaces of its own, and prints medians, ratios and the goals. What is not
installed has a row that says so: make peers installs them all. Other work on
the computer spoils the figures.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			programs, err := f.programs()
			if err != nil {
				return err
			}
			o.Provision = programs.Provision()
			o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			report, err := bench.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			}
			return report.WriteTable(cmd.OutOrStdout())
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&o.Runs, "runs", 3, "runs of each case with each server")
	fl.StringVar(&o.Only, "only", "", "only cases whose name has this in it")
	fl.BoolVar(&o.Quick, "quick", false, "tiny loads: shows that everything works, measures little")
	fl.BoolVar(&asJSON, "json", false, "print JSON for programs")
	return cmd
}
