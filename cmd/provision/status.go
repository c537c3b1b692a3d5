package main

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"provision.internal/host"
	"provision.internal/web"
)

func newStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		GroupID: groupDaemon,
		Short:   "Show how the daemon stands",
		Long: `Show where the daemon listens, how many hosts are in each state, and how often
things happened since its start. Counters that are zero are in --json only.`,
		Args: args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		st, err := a.client().Status(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(st)
		}
		fmt.Fprintf(a.out, "provision %s, pid %d, up %s, machines reach it at %s\n",
			st.Version.Version, st.PID, duration(a.now().Sub(st.Started)), st.Address)
		fmt.Fprintln(a.out, hostCounts(st, a.out.paint))
		for _, p := range st.Parts {
			fmt.Fprintf(a.out, "  %s  %s  %s\n", pad(p.Name, 10), pad(p.Listen, 22), a.out.dim(clean(p.Note)))
		}
		for _, name := range slices.Sorted(maps.Keys(st.Counters)) {
			if n := st.Counters[name]; n > 0 {
				fmt.Fprintf(a.out, "  %s  %d\n", pad(name, 34), n)
			}
		}
		return nil
	}
	return cmd
}

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		GroupID: groupDaemon,
		Short:   "Print the version, and the daemon's where one runs",
		Args:    args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		both := struct {
			web.Version
			Daemon *web.Version `json:"daemon,omitempty"`
		}{Version: web.Version{Version: version, Go: runtime.Version()}}
		if v, err := a.client().Version(cmd.Context()); err == nil {
			both.Daemon = &v
		}
		if *asJSON {
			return a.printJSON(both)
		}
		fmt.Fprintf(a.out, "provision %s (%s)\n", version, runtime.Version())
		if d := both.Daemon; d != nil && d.Version != version {
			fmt.Fprintf(a.out, "%s the daemon is %s; restart it to update it\n", a.out.yellow("!"), clean(d.Version))
		}
		return nil
	}
	return cmd
}

// hostCounts says how many hosts are in each state, in the journey's order.
func hostCounts(st web.Status, p paint) string {
	var parts []string
	for _, state := range append(host.Journey(), host.Failed, host.Retired) {
		if n := st.Hosts[state]; n > 0 {
			parts = append(parts, p.state(state, fmt.Sprintf("%d %s", n, state)))
		}
	}
	if len(parts) == 0 {
		return "no hosts yet"
	}
	return "hosts: " + strings.Join(parts, ", ")
}
