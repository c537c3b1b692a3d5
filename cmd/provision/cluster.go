package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provision.internal/cluster"
	"provision.internal/router/commit"
	"provision.internal/web"
)

func newCluster(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cluster COMMAND",
		GroupID: groupDaemon,
		Short:   "Found the Nomad cluster, and keep its policies",
		Long: `Found a Nomad cluster from the cluster section of the configuration, and keep its policies, node
pools and job as declared there.

The servers are hosts, which are installed as all others are, or this machine itself. Their keys,
certificates and secrets are made here: nothing is to be copied by hand.`,
		Example: `  provision cluster init             # make the secrets; servers that are enrolled begin to vote
  provision enroll node1             # the first server
  provision cluster status           # leader, servers, versions, what is missing
  provision cluster policies plan    # what was changed by hand, or in the configuration?
  provision cluster policies apply
  provision cluster secret           # the management token, for you`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("there is no command %q; see provision cluster --help", "cluster "+args[0])
		},
	}
	cmd.AddCommand(newClusterInit(a), newClusterStatus(a), newClusterPolicies(a), newClusterSecret(a))
	return cmd
}

func newClusterInit(a *app) *cobra.Command {
	var noWait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Found the cluster",
		Long: `Give the word that the cluster be founded, and follow it. Before this word no server is set up.

The gossip key, the secret of the ACLs and the certificates are made and sealed first, so that every
step can be repeated. Then the servers start: enroll those that are hosts; this machine sets itself
up where it is one. When they have a leader, the ACLs are made, and with them a token for the
appliance with the least rights, the policies, the node pools and the job of the configuration.

Ctrl-C ends the following, not the founding. Given again, the command goes on following, and
changes nothing in a cluster that is founded.`,
		Example: `  provision cluster init
  provision cluster init --no-wait && provision enroll node1`,
		Args: args(cobra.NoArgs),
	}
	toggle(cmd, &noWait, "no-wait", "do not follow")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "follow no longer than this; the founding goes on")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		s := newSteps(a)
		st, err := a.client().FoundCluster(ctx, web.Found{Wait: !noWait}, func(step web.FoundStep) {
			s.show(commit.Step{Text: step.Text})
		})
		s.end()
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			fmt.Fprintln(a.err, "the founding goes on; provision cluster status shows how far it is")
			if timeout > 0 && errors.Is(err, context.DeadlineExceeded) {
				return errTimeout
			}
			return &silent{err}
		}
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(st)
		}
		a.tellCluster(st)
		if st.State == cluster.StateFounding {
			fmt.Fprintln(a.err, "the founding goes on when its servers are there: provision enroll them, where they are hosts")
		}
		return nil
	}
	return cmd
}

func newClusterStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show leader, servers, and what is missing",
		Long: `Show whether the cluster is founded, its leader, its servers with their versions, and what is
missing. A cluster that does not answer is told with the reason, and the command fails.`,
		Args: args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		st, err := a.client().ClusterStatus(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			err = a.printJSON(st)
		} else {
			a.tellCluster(st)
		}
		if err == nil && st.Trouble != "" && st.State != cluster.StateFounding {
			return &silent{&web.Error{Code: web.CodeNoCluster, Message: st.Trouble}}
		}
		return err
	}
	return cmd
}

func (a *app) tellCluster(st cluster.Status) {
	switch st.State {
	case cluster.StateNotAsked:
		fmt.Fprintf(a.out, "cluster: %s; provision cluster init founds it\n", a.out.yellow("not asked for"))
		return
	case cluster.StateFounding:
		fmt.Fprintf(a.out, "cluster: %s for %s, as %s asked\n", a.out.cyan("being founded"), duration(a.now().Sub(st.Asked)), clean(st.By))
	case cluster.StateFounded:
		fmt.Fprintf(a.out, "cluster: %s %s ago, as %s asked\n", a.out.green("founded"), duration(a.now().Sub(st.Founded)), clean(st.By))
	default:
		fmt.Fprintf(a.out, "cluster: %s\n", clean(st.State))
	}
	if st.Trouble != "" {
		fmt.Fprintf(a.out, "%s %s\n", a.out.red("✗"), clean(st.Trouble))
	}
	if st.Waits != "" && st.Waits != st.Trouble {
		fmt.Fprintf(a.out, "%s %s\n", a.out.yellow("!"), clean(st.Waits))
	}
	if len(st.Missing) > 0 {
		fmt.Fprintf(a.out, "%s of %d servers these are missing: %s\n", a.out.yellow("!"), st.Expect, clean(strings.Join(st.Missing, ", ")))
	}
	if len(st.Servers) > 0 {
		a.tellServers(st.Servers)
	}
}

func (a *app) tellServers(servers []cluster.Member) {
	rows := make([][]string, len(servers))
	for i, s := range servers {
		role := ""
		if s.Leader {
			role = "leader"
		}
		rows[i] = []string{s.Name, s.Address, s.Status, dash(s.Version), role}
	}
	width, _ := a.out.size()
	if !a.out.terminal {
		width = 0
	}
	fmt.Fprint(a.out, table([]string{"SERVER", "ADDRESS", "STATUS", "NOMAD", "ROLE"}, rows, width, a.out.paint,
		func(row, column int, cell string) string {
			switch {
			case column != 2:
				return cell
			case servers[row].Status == "alive":
				return a.out.green(cell)
			}
			return a.out.red(cell)
		}))
}
