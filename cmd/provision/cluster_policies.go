package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"provision.internal/cluster"
	"provision.internal/web"
)

func newClusterPolicies(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policies COMMAND",
		Short: "Plan and change policies, node pools and the job",
		Long: `Bring the cluster's ACL policies, node pools and configuration job to what the configuration says.
What the configuration does not name is listed and never touched.`,
		Example: `  provision cluster policies plan
  provision cluster policies apply`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("there is no command %q; see provision cluster policies --help", "cluster policies "+args[0])
		},
	}
	cmd.AddCommand(newPoliciesPlan(a), newPoliciesApply(a))
	return cmd
}

func newPoliciesPlan(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change",
		Long: `Read the cluster and show what apply would change in it, before and after. Nothing is changed. What
differs although the configuration was not changed was changed by hand.`,
		Args: args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		plan, err := a.client().PlanCluster(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(plan)
		}
		fmt.Fprint(a.out, plan.Text(bool(a.out.paint)))
		return nil
	}
	return cmd
}

func newPoliciesApply(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Change the cluster to what the configuration says",
		Long:  "Show what would change, ask, and change it. A second apply changes nothing.",
		Example: `  provision cluster policies apply
  provision cluster policies apply --yes --json`,
		Args: args(cobra.NoArgs),
	}
	toggle(cmd, &yes, "yes", "do not ask")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		plan, agreed, err := a.agreeToPolicies(cmd.Context(), yes)
		if err == nil && agreed {
			plan, err = a.client().ApplyCluster(cmd.Context(), web.ApplyCluster{Seen: plan.Fingerprint()})
		}
		switch {
		case err != nil:
			return err
		case *asJSON:
			return a.printJSON(plan)
		case agreed:
			fmt.Fprintf(a.out, "%s the cluster is as the configuration says\n", a.out.green("✓"))
		}
		return nil
	}
	return cmd
}

// agreeToPolicies shows the plan and asks for it, where there is something to do.
func (a *app) agreeToPolicies(ctx context.Context, yes bool) (plan cluster.Plan, agreed bool, err error) {
	plan, err = a.client().PlanCluster(ctx)
	if err != nil {
		return plan, false, err
	}
	fmt.Fprint(a.err, plan.Text(bool(a.err.paint)))
	if plan.Empty() {
		return plan, false, nil
	}
	if !yes {
		fmt.Fprint(a.err, "Change the cluster? [y/N] ")
		if err := a.agree(); err != nil {
			return plan, false, err
		}
	}
	return plan, true, nil
}
