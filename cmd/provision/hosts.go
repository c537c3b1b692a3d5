package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"provision.internal/host"
)

func newHosts(a *app) *cobra.Command {
	var states []string
	cmd := &cobra.Command{
		Use:     "hosts",
		Aliases: []string{"ls"},
		GroupID: groupHosts,
		Short:   "List the machines that have been seen, and how they stand",
		Example: `  provision hosts
  provision hosts --state Failed
  provision hosts --json | jq -r '.[] | select(.state == "Ready") | .name'`,
		Args: args(cobra.NoArgs),
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only hosts in these states")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		want := map[host.State]bool{}
		for _, s := range states {
			st, err := parseState(s)
			if err != nil {
				return err
			}
			want[st] = true
		}
		all, err := a.client().Hosts(cmd.Context())
		if err != nil {
			return err
		}
		var standing []host.Admission
		if len(want) == 0 {
			if standing, err = a.client().Admissions(cmd.Context()); err != nil {
				return err
			}
		}
		var hosts []host.Host
		list := []any{}
		for _, h := range all {
			if len(want) == 0 || want[h.State] {
				hosts, list = append(hosts, h), append(list, h)
			}
		}
		if *asJSON {
			for _, s := range standing {
				list = append(list, listedAdmission{awaited, s})
			}
			return a.printJSON(list)
		}
		if len(hosts)+len(standing) == 0 {
			fmt.Fprintln(a.err, "no machine yet: power one on with network boot first, or admit one with provision enroll")
			return nil
		}
		width := 0
		if a.out.terminal {
			width, _ = a.out.size()
		}
		fmt.Fprint(a.out, hostTable(hosts, standing, a.now(), width, a.out.paint))
		return nil
	}
	return cmd
}

func parseState(s string) (host.State, error) {
	var names []string
	for _, st := range append(host.Journey(), host.Failed, host.Retired) {
		if strings.EqualFold(s, string(st)) {
			return st, nil
		}
		names = append(names, string(st))
	}
	return "", usagef("there is no state %q: want one of %s", s, strings.Join(names, ", "))
}

// hostTable lays hosts and standing admissions out in columns, cut to width when
// that is not zero. Where nobody knows of ports there is no column for them.
func hostTable(hosts []host.Host, standing []host.Admission, now time.Time, width int, p paint) string {
	head := []string{"NAME", "MAC", "ADDRESS", "PORT", "ROLE", "STATE", "SINCE", "NOTE"}
	var rows [][]string
	for _, h := range hosts {
		rows = append(rows, []string{
			dash(h.Name), h.MAC.String(), dash(addressText(h)), dash(h.Port), dash(h.Role), string(h.State),
			duration(now.Sub(h.Since)), note(h),
		})
	}
	for _, s := range standing {
		rows = append(rows, []string{
			s.Name, "-", "-", s.Port, s.Role, awaited,
			duration(now.Sub(s.Made)), "the next machine there, until " + s.Expires.Local().Format("2006-01-02 15:04"),
		})
	}
	port := slices.Index(head, "PORT")
	if !slices.ContainsFunc(rows, func(row []string) bool { return row[port] != "-" }) {
		head = slices.Delete(head, port, port+1)
		for i := range rows {
			rows[i] = slices.Delete(rows[i], port, port+1)
		}
	}
	state := slices.Index(head, "STATE")
	return table(head, rows, width, p,
		func(row, column int, cell string) string {
			switch {
			case column == state:
				return p.state(host.State(rows[row][state]), cell)
			case column == 0:
				return p.bold(cell)
			}
			return cell
		})
}

// table aligns columns; style colours a cell after it was padded. The last
// column is cut so that a line fits width, unless that is zero.
func table(head []string, rows [][]string, width int, p paint, style func(row, column int, cell string) string) string {
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for c := range row {
			row[c] = clean(row[c])
			widths[c] = max(widths[c], utf8.RuneCountInString(row[c]))
		}
	}
	last := len(head) - 1
	lead := 2 * last
	for _, w := range widths[:last] {
		lead += w
	}
	var b strings.Builder
	write := func(row []string, style func(column int, cell string) string) {
		for c, cell := range row {
			if c < last {
				b.WriteString(style(c, pad(cell, widths[c])) + "  ")
				continue
			}
			if width > 0 {
				cell = cut(cell, max(width-lead, 8))
			}
			b.WriteString(style(c, cell))
		}
		line := strings.TrimRight(b.String(), " ")
		b.Reset()
		b.WriteString(line + "\n")
	}
	write(head, func(_ int, cell string) string { return p.dim(cell) })
	for i, row := range rows {
		write(row, func(c int, cell string) string { return style(i, c, cell) })
	}
	return b.String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// note is the one thing worth knowing about h beside its state.
func note(h host.Host) string {
	switch {
	case h.Failure != nil:
		return fmt.Sprintf("while %s: %s", h.Failure.In, h.Failure.Reason)
	case h.Held != "":
		return "held: " + h.Held
	case !h.Lost.IsZero():
		return "lost: its Nomad node is away since " + h.Lost.Local().Format("2006-01-02 15:04")
	case h.Progress != (host.Progress{}):
		return progressText(h.Progress)
	case h.State == host.Seen:
		return "provision enroll admits it"
	case h.State == host.Admitted:
		return "waits for network boot"
	}
	return ""
}
