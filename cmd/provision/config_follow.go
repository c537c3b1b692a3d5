package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provision.internal/host"
	"provision.internal/upkeep"
	"provision.internal/web"
)

func newConfigFollow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "follow [RUN]",
		Short: "Watch a run, or see how it went",
		Long: `Show a run as provision config dispatch does: from its beginning, until it is over. Without a name it
is the newest.`,
		Args: args(cobra.MaximumNArgs(1)),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.followRun(cmd.Context(), runArg(args), *asJSON)
	}
	return cmd
}

func runArg(args []string) string {
	if len(args) == 0 {
		return upkeep.Last
	}
	return args[0]
}

func newConfigCancel(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel RUN",
		Short: "Take a run back: stop what runs, leave out what waits",
		Long: `Take a run back. Hosts that wait are left as they are. A playbook that runs is stopped where it is;
playbooks bear being run again, so the next run puts right what is half done.`,
		Args: args(cobra.ExactArgs(1)),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		run, err := a.client().CancelRun(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(run)
		}
		fmt.Fprintf(a.out, "%s is taken back; provision config follow %s shows what became of each host\n", run.ID, run.ID)
		return nil
	}
	return cmd
}

func newConfigRuns(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List the runs that are under way, and the last ones",
		Args:  args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		runs, err := a.client().Runs(cmd.Context())
		switch {
		case err != nil:
			return err
		case *asJSON:
			return a.printJSON(runs)
		case len(runs) == 0:
			fmt.Fprintln(a.err, "no run yet: provision config dispatch begins one")
			return nil
		}
		width := 0
		if a.out.terminal {
			width, _ = a.out.size()
		}
		fmt.Fprint(a.out, runTable(runs, a.now(), width, a.out.paint))
		return nil
	}
	return cmd
}

func runTable(runs []host.Run, now time.Time, width int, p paint) string {
	var rows [][]string
	for _, r := range runs {
		took, what := duration(now.Sub(r.Began)), "runs"
		switch {
		case r.Cancelled != "":
			what = "taken back by " + r.Cancelled
		case r.Over():
			what = "over"
		}
		if r.Over() {
			took = duration(r.Ended.Sub(r.Began))
		}
		cause := string(r.Cause)
		if r.Check {
			cause += ", check"
		}
		rows = append(rows, []string{
			r.ID, r.Began.Local().Format("2006-01-02 15:04"), took, cause, r.By, dash(shortCommit(r.Commit)), fmt.Sprint(r.Of),
			what + ": " + tallyText(r, paint(false)),
		})
	}
	return table([]string{"RUN", "BEGAN", "TOOK", "CAUSE", "BY", "COMMIT", "HOSTS", "RESULT"}, rows, width, p, func(row, column int, cell string) string {
		switch {
		case column == 0:
			return p.bold(cell)
		case column == 7 && runs[row].Bad() > 0:
			return p.red(cell)
		case column == 7 && !runs[row].Over():
			return p.cyan(cell)
		}
		return cell
	})
}

// followRun shows a run until it is over, and prints what came of it.
func (a *app) followRun(ctx context.Context, ref string, asJSON bool) error {
	b := newBoard()
	s := a.newShow(b.frame)
	plain := func(line string) {
		switch {
		case asJSON:
		case s.live != nil && a.out.terminal:
			s.live.print(line)
		default:
			fmt.Fprintln(a.out, line)
		}
	}
	err := pump(ctx, s, func(ctx context.Context, send func(web.RunUpdate) error, lost func(error)) error {
		return a.client().FollowRun(ctx, ref, send, lost)
	}, func(u web.RunUpdate) (string, error) {
		if line := b.add(u, a.now(), a.out.paint); line != "" {
			plain(line)
		}
		return "", nil
	})
	s.end()
	switch {
	case ctx.Err() != nil && b.run.ID != "":
		fmt.Fprintf(a.err, "the run goes on: provision config follow %s shows it, provision config cancel %s stops it\n", b.run.ID, b.run.ID)
		return &silent{ctx.Err()}
	case err != nil:
		return err
	case asJSON:
		err = a.printJSON(b.result())
	default:
		fmt.Fprint(a.out, b.summary(a.out.paint))
	}
	return errors.Join(err, b.verdict())
}

// verdict is what the exit code tells.
func (b *board) verdict() error {
	switch {
	case b.run.Bad() > 0:
		return &silent{fmt.Errorf("%d of %d hosts: %w", b.run.Bad(), b.run.Of, errHostFailed)}
	case b.run.Cancelled != "":
		return &silent{errors.New("the run was taken back")}
	}
	return nil
}

func shortCommit(c string) string {
	if len(c) == 40 && strings.Trim(c, "0123456789abcdef") == "" {
		return c[:12]
	}
	return c
}
