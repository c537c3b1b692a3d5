package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"provision.internal/upkeep"
)

func newConfigDispatch(a *app) *cobra.Command {
	var req upkeep.Request
	var detach bool
	cmd := &cobra.Command{
		Use:   "dispatch (--all | --role ROLE | --host NAME…) [--commit COMMIT] [--playbook FILE…]",
		Short: "Apply a commit to hosts, and watch",
		Long: `Run playbooks on hosts that are Ready and show a row for each as it ends, so that the slowest comes
last, and a summary. Without --commit it is the one that was published last, without --playbook each
host runs its own, in order.

A host that another run is on is waited for; one that fails or hangs holds up no other. Ctrl-C only
stops watching: the run goes on, also when the daemon is restarted, and provision config follow shows
it again.`,
		Example: `  provision config dispatch --all --check           # what would change?
  provision config dispatch --all
  provision config dispatch --role worker --playbook base.yml --playbook nomad.yml
  provision config dispatch --host node1 --commit 4f2a9c1 --json | jq '.rows[].result'`,
		Args: args(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&req.Commit, "commit", "", "commit to apply, as it was published (the last one)")
	cmd.Flags().StringArrayVar(&req.Playbooks, "playbook", nil, "playbook to run; may be repeated, and they run in this order (each host's own)")
	cmd.Flags().StringSliceVar(&req.Hosts, "host", nil, "on this host; may be repeated")
	cmd.Flags().StringVar(&req.Role, "role", "", "on every host with this role")
	toggle(cmd, &req.All, "all", "on every host")
	toggle(cmd, &req.Check, "check", "tell what would change, and change nothing")
	cmd.Flags().IntVar(&req.Parallel, "parallel", 0, "hosts at a time (the configuration's config.schedule.parallel)")
	toggle(cmd, &detach, "detach", "do not watch: print the run's name")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		run, err := a.client().Dispatch(cmd.Context(), req)
		if err != nil {
			return err
		}
		switch {
		case detach && *asJSON:
			return a.printJSON(run)
		case detach:
			fmt.Fprintln(a.out, run.ID)
			return nil
		}
		return a.followRun(cmd.Context(), run.ID, *asJSON)
	}
	return cmd
}
