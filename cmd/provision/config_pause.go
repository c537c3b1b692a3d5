package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provision.internal/host"
)

func newConfigPause(a *app) *cobra.Command {
	var d time.Duration
	cmd := &cobra.Command{
		Use:   "pause [--for TIME]",
		Short: "Hold the schedule that configures hosts again and again",
		Long: `Hold the schedule: hosts whose time comes are left as they are, until provision config resume, or for
as long as --for says. What is under way goes on, and so does what provision config dispatch asks for. The
pause survives a restart of the daemon.`,
		Example: `  provision config pause --for 2h
  provision config resume`,
		Args: args(cobra.NoArgs),
	}
	cmd.Flags().DurationVar(&d, "for", 0, "end the pause after this time (until provision config resume)")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("for") && d <= 0 {
			return usagef("--for %s: want a time such as 2h", d)
		}
		u, err := a.client().PauseConfig(cmd.Context(), d)
		return a.tellUpkeep(u, err, *asJSON)
	}
	return cmd
}

func newConfigResume(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Let the schedule go on",
		Long:  `End a pause. When a time to configure hosts has passed meanwhile, it is made up for now.`,
		Args:  args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		u, err := a.client().ResumeConfig(cmd.Context())
		return a.tellUpkeep(u, err, *asJSON)
	}
	return cmd
}

func newConfigCommit(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "commit COMMIT",
		Short: "Say which published commit hosts are to have",
		Long: `Say which commit the schedule applies, and provision config dispatch without --commit. To publish one
says the same, so this is how to go back to an older one. Nothing is applied at once.`,
		Example: `  provision config commit 4f2a9c1 && provision config dispatch --all`,
		Args:    args(cobra.ExactArgs(1)),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		u, err := a.client().SetCommit(cmd.Context(), args[0])
		return a.tellUpkeep(u, err, *asJSON)
	}
	return cmd
}

func (a *app) tellUpkeep(u host.Upkeep, err error, asJSON bool) error {
	switch {
	case err != nil:
		return err
	case asJSON:
		return a.printJSON(u)
	case u.Paused && u.PausedUntil.IsZero():
		fmt.Fprintln(a.out, "the schedule is paused until provision config resume")
	case u.Paused:
		fmt.Fprintln(a.out, "the schedule is paused until", u.PausedUntil.Local().Format("2006-01-02 15:04:05"))
	case u.Next.IsZero():
		fmt.Fprintln(a.out, "nothing is paused; there is no schedule")
	default:
		fmt.Fprintln(a.out, "nothing is paused; hosts are configured again from", u.Next.Local().Format("2006-01-02 15:04:05"), "on")
	}
	if u.Commit != "" && err == nil && !asJSON {
		fmt.Fprintln(a.out, "commit", u.Commit, "is to be applied")
	}
	return nil
}
