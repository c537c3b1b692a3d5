package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provision.internal/host"
	"provision.internal/web"
)

// details is what `provision host` prints.
type details struct {
	Host   host.Host    `json:"host"`
	States []chapter    `json:"states"` // since its last admission
	Events []host.Event `json:"events"`
}

func newHost(a *app) *cobra.Command {
	var last int
	cmd := &cobra.Command{
		Use:     "host NAME|MAC",
		GroupID: groupHosts,
		Short:   "Show all that is known of one machine",
		Long: `Show a machine's identity, its grant, its hardware, the states it went through
with the time that each took, and what happened last.`,
		Example: `  provision host node1
  provision host 52:54:00:12:34:56 --events 200
  provision host node1 --json`,
		Args: args(cobra.ExactArgs(1)),
	}
	cmd.Flags().IntVar(&last, "events", 15, "how many of the last events to show")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if last < 0 {
			return usagef("--events: want a number from 0")
		}
		c := a.client()
		h, err := c.Host(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		events, err := c.Events(cmd.Context(), web.Query{Host: h.MAC.String()})
		if err != nil {
			return err
		}
		s := &story{}
		for i := range events {
			s.add(web.Update{Event: &events[i]})
		}
		s.add(web.Update{Host: &h})
		d := details{Host: h, States: s.chapters, Events: events[max(0, len(events)-last):]}
		if *asJSON {
			return a.printJSON(d)
		}
		fmt.Fprint(a.out, detailsText(d, a.now(), a.out.paint))
		return nil
	}
	return cmd
}

func detailsText(d details, now time.Time, p paint) string {
	h := d.Host
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s %s\n", p.bold(clean(h.Label())), p.state(h.State, string(h.State)),
		p.dim("since "+h.Since.Local().Format(time.DateTime)+", "+duration(now.Sub(h.Since))))
	if h.Failure != nil {
		fmt.Fprintf(&b, "%s\n", p.red(clean(fmt.Sprintf("failed while %s: %s", h.Failure.In, h.Failure.Reason))))
	}
	if !h.Lost.IsZero() {
		fmt.Fprintf(&b, "%s\n", p.yellow("lost: its Nomad node is away since "+h.Lost.Local().Format("2006-01-02 15:04")))
	}
	if h.Held != "" {
		fmt.Fprintf(&b, "%s\n", p.yellow(clean("held: "+h.Held)))
	}
	b.WriteString("\n")
	pair := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %s  %s\n", p.dim(pad(key, 9)), clean(value))
		}
	}
	pair("mac", h.MAC.String())
	pair("address", addressText(h))
	pair("port", portText(h))
	pair("role", h.Role)
	pair("firmware", h.Platform)
	if !h.UUID.IsZero() {
		pair("uuid", h.UUID.String())
	}
	pair("node", h.Node)
	pair("snapshot", h.Snapshot)
	if !h.Deadline.IsZero() {
		pair("deadline", h.Deadline.Local().Format(time.DateTime)+", in "+duration(h.Deadline.Sub(now)))
	}
	pair("progress", progressText(h.Progress))
	pair("grant", grantText(h.Grant, now))
	if !h.FirstSeen.IsZero() {
		pair("seen", "first "+h.FirstSeen.Local().Format(time.DateTime)+", last "+h.LastSeen.Local().Format(time.DateTime))
	}
	inventory(h.Inventory, pair)
	b.WriteString(configurationText(h.Configuration, now, p))
	if len(d.States) > 0 {
		b.WriteString("\n")
		for _, c := range d.States {
			cause := c.Cause
			if c.Actor != "" {
				cause = strings.TrimSpace(cause + " (" + c.Actor + ")")
			}
			fmt.Fprintf(&b, "  %s  %s  %s  %s\n", p.dim(c.Since.Local().Format(time.DateTime)),
				p.state(c.State, pad(string(c.State), stateWidth)), padLeft(duration(c.length(now)), 6), p.dim(clean(cause)))
		}
	}
	if len(d.Events) > 0 {
		b.WriteString("\n")
		for _, e := range d.Events {
			b.WriteString("  " + eventLine(e, p) + "\n")
		}
	}
	return b.String()
}

func grantText(g *host.Grant, now time.Time) string {
	if g == nil {
		return ""
	}
	text := "made " + g.Made.Local().Format(time.DateTime) + " by " + g.By + " for " + diskName(g)
	switch {
	case !g.Burned.IsZero():
		text += ", used " + g.Burned.Local().Format(time.DateTime)
	case g.Open(now):
		text += ", open until " + g.Expires.Local().Format(time.DateTime)
	default:
		text += ", expired " + g.Expires.Local().Format(time.DateTime)
	}
	return text
}

func diskName(g *host.Grant) string {
	switch {
	case g.Disk == "":
		return "the first fitting disk"
	case g.Foreign:
		return "disk " + g.Disk + " whatever is on it"
	}
	return "disk " + g.Disk
}

func inventory(inv *host.Inventory, pair func(key, value string)) {
	if inv == nil {
		return
	}
	machine := strings.TrimSpace(inv.Vendor + " " + inv.Product)
	if inv.Serial != "" {
		machine += ", serial " + inv.Serial
	}
	pair("machine", machine)
	pair("cpu", strings.TrimSpace(fmt.Sprintf("%d × %s", inv.CPUs, inv.CPU)))
	pair("memory", size(inv.Memory))
	disks := slices.Clone(inv.Disks)
	for i, disk := range disks {
		text := fmt.Sprintf("%s %s", disk.Name, size(disk.Size))
		for _, part := range []string{disk.Model, prefixed("serial ", disk.Serial), prefixed("carries ", disk.Foreign)} {
			if part != "" {
				text += ", " + part
			}
		}
		pair(numbered("disk", i, len(disks)), text)
	}
	for i, nic := range inv.NICs {
		text := nic.Name + " " + nic.MAC.String()
		if nic.Boot {
			text += ", booted from"
		}
		if !nic.Link {
			text += ", no link"
		}
		pair(numbered("nic", i, len(inv.NICs)), text)
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func numbered(key string, i, of int) string {
	if of == 1 {
		return key
	}
	return fmt.Sprintf("%s %d", key, i+1)
}
