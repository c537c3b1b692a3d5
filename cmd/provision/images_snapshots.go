package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"provision.internal/web"
)

func newImagesSnapshots(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshots",
		Short: "List the snapshots of the package repositories",
		Long: `List the snapshots of the package repositories. Every machine is installed from one: from
the newest, unless provision reinstall --snapshot names another.

The daemon makes one by itself when upstream has something new. Of these it keeps the newest
three and those that hosts were installed from; snapshots made with provision images freeze or
import stay until provision images thaw. A package that any of them names is never dropped.`,
		Example: "  provision images snapshots\n  provision images snapshots --json",
		Args:    args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := a.client().Snapshots(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(all)
		}
		if len(all) == 0 {
			fmt.Fprintln(a.err, "there are none yet; upstream must answer once, or provision images import bring one")
			return nil
		}
		rows := make([][]string, len(all))
		for i, s := range all {
			rows[i] = []string{s.Name, s.Time.UTC().Format("2006-01-02 15:04"), kindOf(s), strconv.Itoa(len(s.Repositories)), dash(strings.Join(s.Hosts, " "))}
		}
		fmt.Fprint(a.out, table([]string{"NAME", "TIME (UTC)", "KIND", "INDEXES", "HOSTS"}, rows, 0, a.out.paint,
			func(_, _ int, cell string) string { return cell }))
		return nil
	}
	return cmd
}

// kindOf says why a snapshot is kept.
func kindOf(s web.Snapshot) string {
	switch {
	case s.Automatic:
		return "automatic"
	case s.Origin != "":
		return "imported"
	}
	return "frozen"
}

func newImagesFreeze(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "freeze NAME",
		Short: "Keep what the package repositories have now",
		Long: `Make a snapshot of the package repositories called NAME, and fetch all packages that the roles
and the installers need of it, with what they depend on. Hosts can be installed from it for as
long as it is there, whatever upstream drops meanwhile: provision reinstall HOST --snapshot NAME.

The running daemon does it. When something is missing, or on Ctrl-C, no snapshot stays.`,
		Example: "  provision images freeze golden",
		Args:    args(cobra.ExactArgs(1)),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t := newTransfers(a)
		defer t.end()
		s, err := a.client().Freeze(cmd.Context(), args[0], t.step(args[0]))
		if err != nil {
			return err
		}
		t.end()
		if *asJSON {
			return a.printJSON(s)
		}
		fmt.Fprintf(a.out, "%s is frozen\n", clean(s.Name))
		return nil
	}
	return cmd
}

// step shows how a snapshot becomes complete.
func (t *transfers) step(snapshot string) func(web.Step) {
	what := ""
	return func(s web.Step) {
		if s.Of > 0 {
			t.arrived(fmt.Sprintf("%d packages of %s", s.Of, snapshot), s.Bytes, s.Size)
			return
		}
		if s.What != what {
			what = s.What
			t.say("looking at " + what)
		}
	}
}

func newImagesThaw(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "thaw NAME",
		Short: "Remove a snapshot",
		Long: `Remove a snapshot of the package repositories. Packages that no other one names are dropped
when their room is needed. A snapshot that a host was installed from stays.`,
		Example: "  provision images thaw golden",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.client().Thaw(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s is removed\n", clean(args[0]))
			return nil
		},
	}
}
