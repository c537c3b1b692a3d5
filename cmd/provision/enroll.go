package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"provision.internal/host"
	"provision.internal/web"
)

func newEnroll(a *app) *cobra.Command {
	var mac string
	var req web.Enroll
	var noWait, retry bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "enroll [NAME]",
		GroupID: groupHosts,
		Short:   "Admit a machine: install it, once, and follow it until it is Ready",
		Long: `Admit the machine with the given MAC address under NAME: its hostname, its name
in the inventory, and its node name in Nomad. That makes a grant: permission to
wipe one disk of this machine (or the two of a mirror), once. The machine is installed when it next boots
from the network.

NAME, MAC and role that the configuration's hosts section knows need not be
given. Without --mac and where exactly one machine is Seen, that one is taken.
Asking again for the same changes nothing and only follows.

With --port and a NAME that no machine has yet, the next unknown machine that
boots from the network on that port of the router is admitted, when it is the
only one there. Without NAME it is called like the port. For a machine that is
known, --port says that it belongs there: that is how one is let in that was
found on another port than the one it was admitted on.

With --retry a host that failed after its system had enrolled, because its
configuration job failed or its node was late, goes on with a new attempt. Nothing
is installed again. Until it has succeeded the host stays in quarantine.

Ctrl-C stops following; the machine goes on.`,
		Example: `  provision enroll node1 --mac 52:54:00:12:34:56 --role worker
  provision enroll node1                     # known from the configuration, or the only one Seen
  provision enroll node1 --disk S4EVNX0M1234 # on this disk, whatever is on it
  provision enroll --port ether7 --role worker node7   # before anybody knows its MAC
  provision enroll node1 --retry             # its configuration was mended
  provision enroll node1 --no-wait --json`,
		Args: args(cobra.MaximumNArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&mac, "mac", "", "MAC address of the machine's network boot interface")
	flags.StringVar(&req.Port, "port", "", "port of the router that the machine is on")
	flags.StringVar(&req.Role, "role", "", "role from the configuration; not needed when it has only one")
	flags.StringVar(&req.Disk, "disk", "", "serial of the disk to install on (of a mirror both: A,B); also allows wiping RAID, LUKS, LVM, ZFS or Ceph on it")
	toggle(cmd, &req.NewMachine, "new-machine", "accept that another machine now has this MAC")
	toggle(cmd, &retry, "retry", "try the configuration of a failed host again, without installing it")
	toggle(cmd, &noWait, "no-wait", "admit only, do not follow")
	flags.DurationVar(&timeout, "timeout", 0, "follow no longer than this; the machine goes on")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 1:
			req.Name = args[0]
		case req.Port == "" || mac != "":
			return usagef("say under which name to admit it: provision enroll NAME")
		}
		if req.Name != "" && !web.ValidName(req.Name) {
			return usagef("%q cannot be a host's name: want lower-case letters, digits and hyphens, at most 63", req.Name)
		}
		if mac != "" {
			m, err := host.ParseMAC(mac)
			if err != nil {
				return usagef("--mac: %v", err)
			}
			req.MAC = m
		}
		if retry {
			return a.retry(cmd.Context(), cmd.Flags(), req.Name, noWait, timeout, *asJSON)
		}
		result, err := a.client().Enroll(cmd.Context(), req)
		if err != nil {
			return err
		}
		if result.Admission != nil {
			a.sayAwaited(result)
			return a.seeAwaited(cmd.Context(), result, noWait, timeout, *asJSON)
		}
		a.sayAdmitted(req, result)
		return a.see(cmd.Context(), result, noWait, timeout, *asJSON)
	}
	return cmd
}

// retry has a failed host go on, and follows it. Flags that describe a machine make
// no sense with it.
func (a *app) retry(ctx context.Context, flags *pflag.FlagSet, name string, noWait bool, timeout time.Duration, asJSON bool) error {
	for _, f := range []string{"mac", "port", "role", "disk", "new-machine"} {
		if flags.Changed(f) {
			return usagef("--retry goes on with the host as it is: leave --%s out", f)
		}
	}
	r, err := a.client().Retry(ctx, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "%s is tried again\n", r.Host.Label())
	return a.seeSince(ctx, r, r.Host.Since, noWait, timeout, asJSON)
}

func (a *app) sayAdmitted(req web.Enroll, r web.Result) {
	h := r.Host
	switch {
	case !r.Changed:
		fmt.Fprintf(a.err, "%s is %s already: nothing to change\n", h.Label(), h.State)
	default:
		which := ""
		if req.MAC.IsZero() {
			which = ", the machine with MAC " + h.MAC.String()
		}
		fmt.Fprintf(a.err, "%s%s is admitted with role %s; its grant is open until %s\n",
			h.Label(), which, h.Role, h.Grant.Expires.Local().Format("2006-01-02 15:04"))
	}
}

// see follows the host of an admission, and prints how that ended.
func (a *app) see(ctx context.Context, r web.Result, noWait bool, timeout time.Duration, asJSON bool) error {
	var since time.Time
	if r.Host.Grant != nil {
		since = r.Host.Grant.Made
	}
	return a.seeSince(ctx, r, since, noWait, timeout, asJSON)
}

func (a *app) seeSince(ctx context.Context, r web.Result, since time.Time, noWait bool, timeout time.Duration, asJSON bool) error {
	if noWait {
		if asJSON {
			return a.printJSON(r)
		}
		if r.Host.State == host.Admitted {
			fmt.Fprint(a.err, "boot it from the network; ")
		}
		fmt.Fprintf(a.err, "provision watch %s follows it\n", r.Host.Label())
		return nil
	}
	q := web.Query{Host: r.Host.MAC.String(), Since: since}
	s, err := a.follow(ctx, q, r.Host.Label(), timeout)
	if err != nil {
		return err
	}
	if asJSON {
		r.Host = s.host
		if err := a.printJSON(r); err != nil {
			return err
		}
	}
	return a.ending(s, asJSON)
}

// follow is followOne with an end: the timeout, or a person's Ctrl-C. Neither
// touches the host.
func (a *app) follow(ctx context.Context, q web.Query, label string, timeout time.Duration) (*story, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errTimeout)
		defer cancel()
	}
	s, err := a.followOne(ctx, q)
	goesOn := fmt.Sprintf("%s goes on; provision watch %s follows it again", label, label)
	switch {
	case err == nil:
		return s, nil
	case errors.Is(context.Cause(ctx), errTimeout):
		return s, fmt.Errorf("%w after %s: it is %s; %s", errTimeout, timeout, s.host.State, goesOn)
	case ctx.Err() != nil:
		fmt.Fprintln(a.err, goesOn)
		return s, &silent{ctx.Err()}
	}
	return s, err
}

// ending says how the story ended, and makes an error of a bad end.
func (a *app) ending(s *story, quiet bool) error {
	h := s.host
	if h.Arrived() {
		if !quiet {
			text := h.Label() + " is " + string(h.State)
			if addr := addressText(h); addr != "" {
				text += " at " + addr
			}
			fmt.Fprintf(a.out, "%s after %s\n", a.out.green(text), duration(s.total(a.now())))
		}
		return nil
	}
	var b strings.Builder
	why := "it is " + string(h.State)
	switch {
	case h.State == host.Failed && h.Failure != nil:
		why = fmt.Sprintf("it failed while %s: %s", h.Failure.In, h.Failure.Reason)
	case h.Held != "":
		why = "it is held: " + h.Held
	}
	fmt.Fprintf(&b, "%s %s: %s\n", a.err.red("✗"), a.err.bold(clean(h.Label())), clean(why))
	if len(s.log) > 0 {
		b.WriteString("  its last words:\n")
		for _, l := range s.log {
			b.WriteString(a.err.dim("  │ "+clean(l)) + "\n")
		}
	}
	b.WriteString("  next: " + nextStep(h) + "\n")
	fmt.Fprint(a.err, b.String())
	return &silent{fmt.Errorf("%s %w", h.Label(), errHostFailed)}
}

// nextStep is what an operator can do about h.
func nextStep(h host.Host) string {
	switch {
	case h.Strayed:
		return fmt.Sprintf("look at the machine; if it belongs there: provision enroll %s --port %s", h.Label(), h.Port)
	case h.State == host.Seen && h.Held != "":
		return fmt.Sprintf("look at the machine; if it was exchanged: provision enroll %s --new-machine", h.Label())
	case h.State == host.Retired:
		return fmt.Sprintf("provision enroll %s admits it again", h.Label())
	case h.State == host.Failed && h.Failure != nil && (h.Failure.In == host.Booted || h.Failure.In == host.Joined || h.Failure.In == host.Configured):
		return fmt.Sprintf("mend it, then provision enroll %s --retry; provision logs %s tells more", h.Label(), h.Label())
	}
	return fmt.Sprintf("provision host %s tells more; provision reinstall %s tries again and wipes its disk", h.Label(), h.Label())
}
