package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provision.internal/host"
	"provision.internal/upkeep"
)

func newConfigStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [HOST…]",
		Short: "Say for every host which commit it has, since when, and whether it has drifted",
		Long: `Say for every host that is Ready which commit was applied last, when, what came of it, and whether the
host has drifted since. DRIFT is "no" as of the last run, "corrected" when the last run of a commit that
the host had already had to change something, "drifted" when a check has found that.

With names, also the tasks that changed something, and why a run failed.`,
		Example: `  provision config status
  provision config status node1
  provision config status --json | jq -r '.hosts[] | select(.drift == "drifted") | .host'`,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		st, err := a.client().ConfigStatus(cmd.Context())
		if err != nil {
			return err
		}
		if len(names) > 0 {
			if st.Hosts, err = chosenHosts(st.Hosts, names); err != nil {
				return err
			}
		}
		if *asJSON {
			return a.printJSON(st)
		}
		width := 0
		if a.out.terminal {
			width, _ = a.out.size()
		}
		if len(st.Hosts) == 0 {
			fmt.Fprintln(a.err, "no host is Ready yet: provision hosts lists them")
		} else {
			fmt.Fprint(a.out, statusTable(st, a.now(), width, a.out.paint))
		}
		for _, h := range st.Hosts {
			if len(names) > 0 {
				fmt.Fprint(a.out, statusDetail(h, a.out.paint))
			}
		}
		fmt.Fprint(a.out, scheduleText(st, a.now(), a.out.paint))
		return nil
	}
	return cmd
}

func chosenHosts(all []upkeep.HostStatus, names []string) (chosen []upkeep.HostStatus, err error) {
	for _, name := range names {
		i := slices.IndexFunc(all, func(h upkeep.HostStatus) bool { return h.Host == name })
		if i < 0 {
			return nil, fmt.Errorf("%s: %w among those that are Ready; provision hosts lists all", name, host.ErrUnknown)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func statusTable(st upkeep.Status, now time.Time, width int, p paint) string {
	var rows [][]string
	for _, h := range st.Hosts {
		when, result, changed, note := "-", "-", "-", h.Reason
		if !h.When.IsZero() {
			when, result = duration(now.Sub(h.When))+" ago", string(h.Result)
			changed = fmt.Sprint(h.Totals.Changed)
		}
		switch {
		case h.Running != "":
			note = "run " + h.Running + " is on it"
		case h.Missed != "":
			note = "not reached since: " + h.Missed
		}
		rows = append(rows, []string{h.Host, dash(shortCommit(h.Commit)), when, result, changed, dash(string(h.Drift)), note})
	}
	return table([]string{"HOST", "COMMIT", "WHEN", "RESULT", "CHANGED", "DRIFT", "NOTE"}, rows, width, p, func(row, column int, cell string) string {
		h := st.Hosts[row]
		switch {
		case column == 0:
			return p.bold(cell)
		case column == 1 && h.Commit != st.Commit:
			return p.yellow(cell)
		case column == 3:
			return p.result(h.Result, cell)
		case column == 5 && h.Drift == upkeep.DriftFound:
			return p.red(cell)
		case column == 5 && h.Drift == upkeep.DriftCorrected:
			return p.yellow(cell)
		}
		return cell
	})
}

func statusDetail(h upkeep.HostStatus, p paint) string {
	var b strings.Builder
	list := func(title string, lines []string) {
		for i, l := range lines {
			if i == 0 {
				fmt.Fprintf(&b, "%s %s\n", p.bold(clean(h.Host)), title)
			}
			fmt.Fprintf(&b, "  %s\n", clean(l))
		}
	}
	list("was changed by", h.Changes)
	list("had drifted in", h.Drifted)
	if h.Page != "" {
		fmt.Fprintf(&b, "%s is recorded at %s\n", p.bold(clean(h.Host)), clean(h.Page))
	}
	return b.String()
}

// scheduleText is what goes on for all hosts.
func scheduleText(st upkeep.Status, now time.Time, p paint) string {
	var b strings.Builder
	for _, r := range st.Runs {
		fmt.Fprintf(&b, "%s is under way for %s: %s (provision config follow %s)\n", p.bold(r.ID), duration(now.Sub(r.Began)), tallyText(r, p), r.ID)
	}
	if st.Commit != "" {
		fmt.Fprintf(&b, "commit %s is to be applied\n", p.bold(shortCommit(clean(st.Commit))))
	}
	switch {
	case st.Every == 0:
		b.WriteString("there is no schedule: config.schedule.every has hosts configured again and again\n")
	case st.Paused && st.PausedUntil.IsZero():
		b.WriteString(p.yellow("the schedule is paused by "+clean(st.PausedBy)+" until provision config resume") + "\n")
	case st.Paused:
		b.WriteString(p.yellow("the schedule is paused by "+clean(st.PausedBy)+" for another "+duration(st.PausedUntil.Sub(now))) + "\n")
	default:
		fmt.Fprintf(&b, "hosts are configured again every %s, the next time in %s\n", duration(st.Every), duration(st.Next.Sub(now)))
	}
	return b.String()
}
