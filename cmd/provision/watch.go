package main

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"provision.internal/host"
	"provision.internal/web"
)

func newWatch(a *app) *cobra.Command {
	var logs bool
	var after uint64
	var tail int
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "watch [NAME|MAC]",
		GroupID: groupHosts,
		Short:   "Follow what happens to one machine, or to all",
		Long: `With a name, follow this machine until it is Ready or has failed, as enroll does.
Without one, follow all machines until Ctrl-C.

With --json, every event is a line of JSON on standard output; --after ID takes up
where an earlier run stopped.`,
		Example: `  provision watch
  provision watch node1
  provision watch --json --after 1207 >> events.jsonl`,
		Args: args(cobra.MaximumNArgs(1)),
	}
	toggle(cmd, &logs, "logs", "show the installers' log lines too")
	cmd.Flags().Uint64Var(&after, "after", 0, "begin after the event with this ID")
	cmd.Flags().IntVar(&tail, "tail", 10, "without --after: begin with the last so many events")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "with a name: follow no longer than this")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && !*asJSON {
			h, err := a.client().Host(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			q := web.Query{Host: h.MAC.String(), After: after}
			if h.Grant != nil && after == 0 {
				q.Since = h.Grant.Made
			}
			s, err := a.follow(cmd.Context(), q, h.Label(), timeout)
			if err != nil {
				return err
			}
			return a.ending(s, false)
		}
		q := web.Query{After: after}
		if after == 0 {
			q.Tail = tail
		}
		if len(args) == 1 {
			q.Host = args[0]
		}
		if *asJSON {
			enc := json.NewEncoder(a.out)
			return a.followEvents(cmd.Context(), q, func(e host.Event) error { return enc.Encode(e) })
		}
		err := a.followAll(cmd.Context(), q, func(e host.Event) (string, error) {
			if e.Kind == host.KindLog && !logs || e.Kind == host.KindProgress && a.err.terminal {
				return "", nil
			}
			return eventLine(e, a.err.paint), nil
		})
		if errors.Is(err, cmd.Context().Err()) {
			return nil // Ctrl-C is how watching ends
		}
		return err
	}
	return cmd
}
