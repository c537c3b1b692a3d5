package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provision.internal/router"
	"provision.internal/router/commit"
)

func newRouterStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is pending, and what was changed by hand",
		Long: `Read the router and show whether a change waits, what became of the last one, and how the router
differs from the configuration: since when, and who may have changed it, as far as its log tells.
The daemon looks for such differences by itself, reports them as here, and repairs nothing.`,
		Args: args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		st, err := a.client().RouterStatus(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(st)
		}
		a.tellRouter(st)
		return nil
	}
	return cmd
}

func (a *app) tellRouter(st commit.Status) {
	read := "never read"
	if !st.Read.IsZero() {
		read = "read " + duration(a.now().Sub(st.Read)) + " ago"
	}
	fmt.Fprintf(a.out, "router %s, %s\n", a.out.bold(clean(st.Router)), read)
	if st.Error != "" {
		fmt.Fprintf(a.out, "%s %s\n", a.out.red("✗"), clean(st.Error))
	}
	if p := st.Pending; p != nil {
		fmt.Fprintf(a.out, "%s: %s by %s%s\n", clean(p.ID), a.out.outcome(p.Outcome), clean(p.By), tail(*p, a.now()))
	}
	if l := st.Last; l != nil {
		fmt.Fprintf(a.out, "last commit %s: %s%s\n", clean(l.ID), a.out.outcome(l.Outcome), tail(*l, a.now()))
		if l.Reason != "" {
			fmt.Fprintf(a.out, "  %s\n", clean(l.Reason))
		}
	}
	a.tellDrift(st.Drift)
}

func (a *app) tellDrift(d commit.Drift) {
	switch {
	case d.Seen.IsZero():
		fmt.Fprintf(a.out, "%s it is as the configuration says\n", a.out.green("✓"))
	case d.Unapplied:
		fmt.Fprintf(a.out, "%s it differs from the configuration, which was changed since the last commit:\n", a.out.yellow("!"))
	default:
		fmt.Fprintf(a.out, "%s it was changed by hand; first seen %s ago:\n", a.out.yellow("!"), duration(a.now().Sub(d.Seen)))
	}
	if len(d.Operations) > 0 {
		fmt.Fprint(a.out, router.Plan{Operations: d.Operations}.Text(bool(a.out.paint)))
	}
	for _, s := range d.Suspects {
		fmt.Fprintf(a.out, "  %s %s\n", a.out.dim(clean(strings.TrimSpace(s.When+" "+s.By))), clean(s.What))
	}
	if len(d.Operations) > 0 {
		fmt.Fprintln(a.err, "provision router apply makes it as the configuration says")
	}
}

func newRouterHistory(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the changes of the router",
		Long: `List the changes of the router, the newest first: who made them, what became of them and why, and
the backup that each has left on the router.`,
		Args: args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := a.client().RouterHistory(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(all)
		}
		if len(all) == 0 {
			fmt.Fprintln(a.err, "nothing was changed yet; provision router plan shows what would be")
			return nil
		}
		rows := make([][]string, len(all))
		for i, c := range all {
			what := c.Summary
			if c.Reason != "" {
				what = c.Reason
			}
			rows[i] = []string{c.Began.UTC().Format(time.DateTime), string(c.Outcome), c.By, dash(c.Backup), what}
		}
		width, _ := a.out.size()
		if !a.out.terminal {
			width = 0
		}
		fmt.Fprint(a.out, table([]string{"TIME (UTC)", "OUTCOME", "BY", "BACKUP", "WHAT"}, rows, width, a.out.paint,
			func(row, column int, cell string) string {
				if column == 1 {
					// Padded before it is coloured.
					name := strings.TrimRight(cell, " ")
					return a.out.outcome(commit.Outcome(name)) + cell[len(name):]
				}
				return cell
			}))
		return nil
	}
	return cmd
}
