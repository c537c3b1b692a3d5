package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provision.internal/router/commit"
	"provision.internal/web"
)

func newRouterApply(a *app) *cobra.Command {
	var req web.ApplyRouter
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Change the router to what the configuration says",
		Long: `Show what would change, ask, and change the router.

A backup and an export are kept on the router, and the export here as well. A timer is armed on the
router that takes everything back; then the changes are made in safe mode, read back, and checked
from new connections: management, DHCP, BGP. When all agree the change is confirmed. Otherwise, and
on Ctrl-C, the router goes back to what it was, which is proved by reading it.

With --confirm-within the change waits for provision router confirm, and goes back without. To
apply the same again meanwhile makes it wait for that long from then on.

` + foreignHelp,
		Example: `  provision router apply
  provision router apply --confirm-within 10m && ping -c1 192.0.2.1 && provision router confirm`,
		Args: args(cobra.NoArgs),
	}
	pruneFlags(cmd, &req.PlanRouter)
	cmd.Flags().DurationVar(&req.ConfirmWithin, "confirm-within", 0, "take the change back unless it is confirmed in this time")
	toggle(cmd, &req.SkipBGP, "skip-bgp", "do not wait for BGP sessions")
	toggle(cmd, &yes, "yes", "do not ask")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if req.ConfirmWithin < 0 || req.ConfirmWithin > 0 && req.ConfirmWithin < time.Second {
			return usagef("--confirm-within %s: want at least 1s", req.ConfirmWithin)
		}
		if !yes {
			var err error
			if req.Seen, err = a.agreeToPlan(cmd.Context(), req.PlanRouter); err != nil || req.Seen == "" {
				return err
			}
		}
		s := newSteps(a)
		c, err := a.client().ApplyRouter(cmd.Context(), req, s.show)
		s.end()
		return a.tellCommit(c, err, *asJSON)
	}
	return cmd
}

// agreeToPlan shows the plan and asks for it. It returns the fingerprint of what
// was agreed to, so that nothing else is applied; nothing when there is nothing
// to do.
func (a *app) agreeToPlan(ctx context.Context, req web.PlanRouter) (string, error) {
	plan, err := a.client().PlanRouter(ctx, req)
	if err != nil {
		return "", err
	}
	fmt.Fprint(a.err, plan.Text(bool(a.err.paint)))
	if err := plan.Err(); err != nil {
		return "", &silent{&web.Error{Code: web.CodeConflict, Message: err.Error()}}
	}
	if plan.Empty() {
		return "", nil
	}
	fmt.Fprint(a.err, "Change the router? It goes back by itself when a check fails. [y/N] ")
	if err := a.agree(); err != nil {
		return "", err
	}
	return plan.Fingerprint(), nil
}

func newRouterConfirm(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "confirm",
		Short: "Make the change that waits final",
		Long: `Confirm the change of provision router apply --confirm-within: the timer on the router is removed,
and the change stays.`,
		Args: args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client().ConfirmRouter(cmd.Context())
		return a.tellCommit(c, err, *asJSON)
	}
	return cmd
}

func newRouterRollback(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Take the change that waits back",
		Long: `Take the change of provision router apply --confirm-within back at once, and prove by reading that
the router is what it was.

A confirmed change is not taken back by this: put the old configuration back and apply it, or load
the backup that provision router history names, on the router: /system/backup/load.`,
		Args: args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client().RollbackRouter(cmd.Context())
		if c.Outcome == commit.RolledBack {
			err = nil // as was wished
		}
		return a.tellCommit(c, err, *asJSON)
	}
	return cmd
}

// tellCommit prints what became of a commit. The exit code is err's.
func (a *app) tellCommit(c commit.Commit, err error, asJSON bool) error {
	if c.Outcome == "" {
		return err
	}
	if asJSON {
		if jsonErr := a.printJSON(c); jsonErr != nil {
			return jsonErr
		}
		return err
	}
	for _, check := range c.Checks {
		mark := a.out.green("✓")
		if !check.OK {
			mark = a.out.red("✗")
		}
		fmt.Fprintf(a.out, "%s %s  %s\n", mark, pad(clean(check.Name), 10), clean(check.Detail))
	}
	for _, note := range c.Notes {
		fmt.Fprintf(a.out, "%s %s\n", a.out.yellow("!"), clean(note))
	}
	fmt.Fprintf(a.out, "%s: %s%s\n", a.out.bold(clean(c.ID)), a.out.outcome(c.Outcome), tail(c, a.now()))
	return err
}

// tail is what a line on a commit ends with.
func tail(c commit.Commit, now time.Time) string {
	switch c.Outcome {
	case commit.Pending:
		return fmt.Sprintf(", %s; goes back in %s unless provision router confirm comes first", clean(c.Summary), duration(c.Deadline.Sub(now)))
	case commit.Confirmed:
		return ", " + clean(c.Summary)
	case commit.Unchanged:
		return ": the router is as the configuration says"
	}
	return ""
}

// outcome colours what became of a commit.
func (p paint) outcome(o commit.Outcome) string {
	switch o {
	case commit.Confirmed, commit.Unchanged:
		return p.green(string(o))
	case commit.Pending:
		return p.cyan(string(o))
	case commit.Unknown, commit.Failed:
		return p.red(string(o))
	}
	return p.yellow(string(o))
}

// steps shows how a commit gets on: a bar on a terminal, one line a step
// elsewhere.
type steps struct {
	app  *app
	live *live // nil when not on a terminal
	last string
}

func newSteps(a *app) *steps {
	s := &steps{app: a}
	if a.err.terminal {
		s.live = &live{out: a.err}
	}
	return s
}

func (s *steps) show(step commit.Step) {
	text := clean(step.Text)
	width, _ := s.app.err.size()
	again := text == s.last && step.Total == 0
	s.last = text
	switch {
	case again:
	case s.live != nil && step.Total > 0:
		count := fmt.Sprintf(" %d/%d ", step.Done, step.Total)
		s.live.draw(cut(bar(int64(step.Done), int64(step.Total), 30)+count+text, width-1))
	case s.live != nil:
		s.live.draw("")
		s.live.print(s.app.err.dim("· ") + text)
	case step.Total > 0 && step.Done < step.Total: // a log needs no line for each row
	default:
		fmt.Fprintln(s.app.err, text)
	}
}

func (s *steps) end() {
	if s.live != nil {
		s.live.draw("")
		s.live.end()
	}
}
