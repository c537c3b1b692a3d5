package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provision.internal/host"
	"provision.internal/web"
)

func newReinstall(a *app) *cobra.Command {
	var req web.Reinstall
	var yes, noWait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "reinstall NAME|MAC",
		GroupID: groupHosts,
		Short:   "Wipe a machine and install it again",
		Long: `Make a new grant for a machine that was installed before, or whose installation
failed. Its disk is wiped when it next boots from the network. With a router, its
port goes into the network for installations at once.

You are asked to type the machine's name, unless you give --yes.`,
		Example: `  provision reinstall node1
  provision reinstall node1 --yes --no-wait
  provision reinstall node1 --disk S4EVNX0M1234   # the disk was exchanged
  provision reinstall node1 --snapshot golden     # the package versions of then`,
		Args: args(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	toggle(cmd, &yes, "yes", "do not ask")
	flags.StringVar(&req.Role, "role", "", "give it another role")
	flags.StringVar(&req.Disk, "disk", "", "serial of another disk (of a mirror both: A,B); also allows wiping RAID, LUKS, LVM, ZFS or Ceph on it")
	flags.StringVar(&req.Snapshot, "snapshot", "", "packages of this snapshot, not of the newest (provision images snapshots)")
	toggle(cmd, &noWait, "no-wait", "do not follow")
	flags.DurationVar(&timeout, "timeout", 0, "follow no longer than this; the machine goes on")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h, err := a.client().Host(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		req.Confirm = h.MAC.String()
		if !yes {
			if err := a.confirm(h); err != nil {
				return err
			}
		}
		r, err := a.client().Reinstall(cmd.Context(), h.MAC.String(), req)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.err, "%s will be installed anew on %s when it next boots from the network\n", r.Host.Label(), diskName(r.Host.Grant))
		return a.see(cmd.Context(), r, noWait, timeout, *asJSON)
	}
	return cmd
}

// confirm has a person type the host's name.
func (a *app) confirm(h host.Host) error {
	fmt.Fprintf(a.err, "%s is %s. Reinstalling wipes %s. Type %s to go on: ",
		a.err.bold(clean(h.Label())), h.State, diskOf(h), clean(h.Label()))
	typed, err := bufio.NewReader(io.LimitReader(a.in, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(typed) != h.Label() {
		fmt.Fprintln(a.err)
		return usagef("not confirmed, nothing was changed; type the host's name, or give --yes")
	}
	return nil
}

func diskOf(h host.Host) string {
	if h.Grant == nil || h.Grant.Disk == "" {
		return "its disk"
	}
	return "its disk " + clean(h.Grant.Disk)
}

func newRetire(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "retire NAME|MAC|PORT",
		GroupID: groupHosts,
		Short:   "Take a machine out of service",
		Long: `Take a machine out of service: its grant and its right to enrol are void, and its
name is free. Its disk is not touched, and it keeps booting from it. provision
enroll admits it again. With a router, its port goes into quarantine.

A machine that is only awaited on a port is awaited no more.`,
		Example: `  provision retire node1`,
		Args:    args(cobra.ExactArgs(1)),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := a.client().Retire(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(r)
		}
		if s := r.Admission; s != nil {
			fmt.Fprintf(a.out, "port %s does not wait for %s any more\n", s.Port, s.Name)
			return nil
		}
		if !r.Changed {
			fmt.Fprintf(a.out, "%s was retired already\n", r.Host.Label())
			return nil
		}
		fmt.Fprintf(a.out, "%s is retired\n", r.Host.Label())
		return nil
	}
	return cmd
}
