package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"provision.internal/publish"
)

func newConfigHook(a *app) *cobra.Command {
	var branch string
	var publishOnly bool
	cmd := &cobra.Command{
		Use:   "hook",
		Short: "Print a Git hook that publishes and applies what is pushed",
		Long: `Print a post-receive hook for the repository of the playbooks: when the branch is pushed, the hook
publishes its commit and applies it to every host, without waiting for them. Put it into the bare
repository as hooks/post-receive, on this machine, and make it executable. Who pushes must be allowed
to read the configuration and to open the daemon's socket.`,
		Example: `  provision config hook >/srv/git/site.git/hooks/post-receive
  chmod +x /srv/git/site.git/hooks/post-receive`,
		Args: args(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&branch, "branch", "main", "branch to publish")
	toggle(cmd, &publishOnly, "publish-only", "apply nothing: provision config dispatch does")
	cmd.RunE = func(*cobra.Command, []string) error {
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program's file: %w", err)
		}
		file, err := filepath.Abs(a.settings.GetString("config"))
		if err != nil {
			return err
		}
		command := []string{program, "--config", file, "--socket", a.socket(), "config", "publish"}
		if !publishOnly {
			command = append(command, "--dispatch", "--detach")
		}
		fmt.Fprint(a.out, publish.Hook(branch, command))
		return nil
	}
	return cmd
}
