package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"provision.internal/host"
	"provision.internal/web"
)

func newLogs(a *app) *cobra.Command {
	var follow, all bool
	cmd := &cobra.Command{
		Use:     "logs NAME|MAC",
		GroupID: groupHosts,
		Short:   "Print what a machine's installer, first boot and configuration job wrote",
		Long: `Print the log lines of a machine since it was admitted last: those of its
installer, of its first boot and of its configuration job, between the steps that
they belong to.`,
		Example: `  provision logs node1
  provision logs node1 --follow
  provision logs node1 --all --json`,
		Args: args(cobra.ExactArgs(1)),
	}
	toggle(cmd, &follow, "follow", "go on until Ctrl-C")
	toggle(cmd, &all, "all", "begin with the first event ever, not with the last admission")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h, err := a.client().Host(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		q := web.Query{Host: h.MAC.String()}
		if h.Grant != nil && !all {
			q.Since = h.Grant.Made
		}
		enc := json.NewEncoder(a.out)
		show := func(e host.Event) error {
			if *asJSON {
				return enc.Encode(e)
			}
			_, err := fmt.Fprintln(a.out, eventLine(e, a.out.paint))
			return err
		}
		if follow {
			return a.followEvents(cmd.Context(), q, show)
		}
		events, err := a.client().Events(cmd.Context(), q)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := show(e); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// followEvents calls show with every event until Ctrl-C, which is how following
// ends.
func (a *app) followEvents(ctx context.Context, q web.Query, show func(host.Event) error) error {
	err := a.client().Follow(ctx, q, func(u web.Update) error {
		if u.Event == nil {
			return nil
		}
		return show(*u.Event)
	}, func(err error) { fmt.Fprintln(a.err, clean(err.Error())) })
	if errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}
