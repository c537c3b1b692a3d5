package main

import (
	"fmt"
	"strings"
	"time"

	"provision.internal/host"
)

// configurationText is what is known of a host's last configuration: a line for
// each playbook, with the sums of Ansible's recap.
func configurationText(c *host.Configuration, now time.Time, p paint) string {
	if c == nil {
		return ""
	}
	var b strings.Builder
	head := "configured"
	if c.Commit != "" {
		head += " from " + c.Commit
	}
	head += " on " + c.Ended.Local().Format(time.DateTime) + ", " + duration(now.Sub(c.Ended)) + " ago"
	fmt.Fprintf(&b, "\n  %s\n", clean(head))
	width := 0
	for _, played := range c.Playbooks {
		width = max(width, len(played.Playbook))
	}
	for _, played := range c.Playbooks {
		t, sums := played.Totals, "no recap"
		if played.Recap {
			sums = fmt.Sprintf("ok=%d changed=%d unreachable=%d failed=%d skipped=%d rescued=%d ignored=%d",
				t.OK, t.Changed, t.Unreachable, t.Failed, t.Skipped, t.Rescued, t.Ignored)
		}
		line := strings.TrimLeft(pad(clean(played.Playbook), width)+"  "+sums, " ")
		switch {
		case t.Bad():
			line = p.red(line)
		case t.Changed > 0:
			line = p.yellow(line)
		}
		fmt.Fprintf(&b, "  %s  %s\n", line, p.dim(clean(strings.TrimSpace(played.Job+" "+played.Page))))
	}
	if c.Failure != "" {
		fmt.Fprintf(&b, "  %s\n", p.red(clean(c.Failure)))
	}
	return b.String()
}
