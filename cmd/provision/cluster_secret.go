package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func newClusterSecret(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Print the cluster's management token",
		Long: `Print the management token that the founding has made. Whoever has it may do everything in the
cluster. The appliance keeps it sealed and shows it nowhere else; that it was shown, and to whom, is
recorded.

You are asked first, unless you give --yes.`,
		Example: `  export NOMAD_TOKEN="$(provision cluster secret --yes)"`,
		Args:    args(cobra.NoArgs),
	}
	toggle(cmd, &yes, "yes", "do not ask")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !yes {
			fmt.Fprint(a.err, "Show the token that may do everything in the cluster? This is recorded. [y/N] ")
			if err := a.agree(); err != nil {
				return err
			}
		}
		t, err := a.client().ManagementToken(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(t)
		}
		fmt.Fprintln(a.out, clean(t.Token))
		return nil
	}
	return cmd
}

// agree reads the answer to a question; anything but yes is an error.
func (a *app) agree() error {
	answer, err := bufio.NewReader(io.LimitReader(a.in, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return usagef("not agreed to, nothing was changed; answer y, or give --yes")
}
