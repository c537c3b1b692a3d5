package main

import (
	"github.com/spf13/cobra"
)

func newConfig(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config COMMAND",
		GroupID: groupHosts,
		Short:   "Apply the hosts' configuration, and keep it applied",
		Long: `Apply playbooks to hosts that are in the cluster, and keep them as a commit says: a schedule applies
it again and again, and tells which hosts had drifted.`,
		Example: `  provision config publish ~/site           # the image of a Git revision, into the registry
  provision config dispatch --all --check   # what would change?
  provision config dispatch --all           # apply the commit that was published last
  provision config status                   # who has which commit, and who has drifted
  provision config pause --for 2h           # hold the schedule`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("there is no command %q; see provision config --help", "config "+args[0])
		},
	}
	cmd.AddCommand(
		newConfigPublish(a), newConfigHook(a), newConfigDispatch(a), newConfigFollow(a), newConfigCancel(a), newConfigRuns(a), newConfigStatus(a),
		newConfigCommit(a), newConfigPause(a), newConfigResume(a),
	)
	return cmd
}
