package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"provision.internal/web"
)

func newRouter(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "router COMMAND",
		GroupID: groupDaemon,
		Short:   "Plan, change and watch the MikroTik router",
		Long: `Bring the MikroTik router to what the router section of the configuration says: bridge, VLANs,
ports, addresses, DHCP, DNS, BGP, services, firewall. What the section does not name stays as it is.

Nothing is changed unseen: plan shows it. Nothing is changed for good before it is proved: apply
arms a timer on the router that takes everything back, changes, reads back, checks from new
connections, and only then confirms. Whatever goes wrong, also to this appliance or to the cable,
the router goes back to what it was, or is what was planned; which of the two, status tells.`,
		Example: `  provision router plan                         # what would change?
  provision router apply                        # change it; goes back by itself when a check fails
  provision router apply --confirm-within 10m   # and goes back unless you confirm it in time
  provision router confirm
  provision router bootstrap                    # take over a router that was just installed
  provision router status                       # pending, last commit, what was changed by hand`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("there is no command %q; see provision router --help", "router "+args[0])
		},
	}
	cmd.AddCommand(
		newRouterBootstrap(a), newRouterPlan(a), newRouterApply(a), newRouterConfirm(a), newRouterRollback(a),
		newRouterStatus(a), newRouterHistory(a),
	)
	return cmd
}

// pruneFlags adds what a plan may do to rows that are not ours.
func pruneFlags(cmd *cobra.Command, req *web.PlanRouter) {
	cmd.Flags().StringArrayVar(&req.Prune, "prune", nil, "remove this foreign row: MENU/NAME or MENU/*ID as the plan lists it, or MENU for all of one; may be repeated")
	cmd.Flags().StringArrayVar(&req.Adopt, "adopt", nil, "take this foreign row over where it stands for one of ours; written as for --prune")
}

const foreignHelp = `Rows that provision did not make are foreign: they are listed and never touched. One that is in the
way can be named with --prune, which removes it, or with --adopt, which takes it over.`

func newRouterPlan(a *app) *cobra.Command {
	var req web.PlanRouter
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change",
		Long: `Read the router and show what apply would change on it, in order, with each field before and
after. Nothing is changed.

` + foreignHelp,
		Example: `  provision router plan
  provision router plan --adopt /interface/vlan --prune '/ip/dhcp-client/*1'
  provision router plan --json | jq '.operations | length'`,
		Args: args(cobra.NoArgs),
	}
	pruneFlags(cmd, &req)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		plan, err := a.client().PlanRouter(cmd.Context(), req)
		if err != nil {
			return err
		}
		if *asJSON {
			if err := a.printJSON(plan); err != nil {
				return err
			}
		} else {
			fmt.Fprint(a.out, plan.Text(bool(a.out.paint)))
		}
		if err := plan.Err(); err != nil {
			return &silent{&web.Error{Code: web.CodeConflict, Message: err.Error()}}
		}
		return nil
	}
	return cmd
}
