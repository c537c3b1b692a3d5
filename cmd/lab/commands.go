package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"provision.internal/lab"
)

// rackFlags says which rack a command means.
type rackFlags struct {
	name, dir string
}

func (f *rackFlags) open() (*lab.Rack, error) {
	return lab.Open(f.dir, f.name, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// programs is the folder that this program is in: make build puts all in one.
func (f *rackFlags) programs() (lab.Programs, error) {
	self, err := os.Executable()
	return lab.Programs(filepath.Dir(self)), err
}

func root() *cobra.Command {
	f := &rackFlags{}
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "a virtual rack for provision",
		Long: `A virtual rack: a network namespace with a bridge, machines with real firmware
in QEMU, and simulators of what cannot be had. It needs root.

The machines install packages that the rack makes of Debian's, because Void's
servers need the internet. They are made once, below --dir, and anew when Debian,
this program or one of these changes:

  LAB_XBPS=DIR    a real XBPS in the place of the stand-in: the folder that has
                  usr/bin/xbps-install, its other programs and, in usr/lib, the
                  libraries that they need. What another package of the rack has
                  already is not packed twice. Static programs need no libraries.
  LAB_NOMAD=FILE  a real Nomad in the place of the simulated cluster and of the
                  stand-in on the machines: its program, linked with the C library
                  at most.

Set them for up or demo; the other commands need neither.`,
		Example: `  sudo lab demo --floor
  sudo LAB_XBPS=/opt/xbps lab --name real demo
  sudo lab up && sudo lab add node1 --uefi && sudo lab power on node1`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.PersistentFlags().StringVar(&f.name, "name", "demo", "the rack; racks live beside each other")
	cmd.PersistentFlags().StringVar(&f.dir, "dir", "build/lab", "folder of all racks and their inputs")
	cmd.AddCommand(up(f), down(f), add(f), list(f), power(f), console(f), demo(f), benchPeers(f), nomadServer(), simulatedRouter(f), upstream())
	return cmd
}

func up(f *rackFlags) *cobra.Command {
	var config string
	var upstream bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "make the rack: its inputs, its network, Nomad and the appliance",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.open()
			if err != nil {
				return err
			}
			programs, err := f.programs()
			if err != nil {
				return err
			}
			r.WithUpstream = upstream
			if err := r.Serve(cmd.Context(), programs, config, cmd.ErrOrStderr()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), `rack %[1]s is up; its files are in %[2]s

  export PROVISION_SOCKET=%[3]s
  lab add node1 --uefi && lab power on node1
  provision hosts
  provision enroll node1 --mac MAC --role worker
  lab down
`, r.Name, r.Dir, r.Socket())
			return nil
		},
	}
	cmd.Flags().StringVar(&config, "config", "examples/lab.yaml", "the appliance's configuration")
	cmd.Flags().BoolVar(&upstream, "upstream", false, "serve the packages as Void's servers do, at "+lab.UpstreamURL+", which --config names as images.upstream")
	return cmd
}

func down(f *rackFlags) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "end everything in the rack and remove it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.open()
			if err != nil {
				return err
			}
			return r.Down(cmd.Context(), !keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the folder with disks, state and logs")
	return cmd
}

func add(f *rackFlags) *cobra.Command {
	var flags machineFlags
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "put a machine with an empty disk into the rack, switched off",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.open()
			if err != nil {
				return err
			}
			m, err := flags.machine(args[0])
			if err != nil {
				return err
			}
			if m, err = r.Add(cmd.Context(), m); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s\n", m.Name, m.MAC, m.UUID)
			return nil
		},
	}
	flags.add(cmd.Flags())
	cmd.MarkFlagsMutuallyExclusive("uefi", "bios", "arm64")
	return cmd
}

func list(f *rackFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list the rack's machines",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.open()
			if err != nil {
				return err
			}
			machines, err := r.Machines()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tPOWER\tMAC\tFIRMWARE\tDISK")
			for _, m := range machines {
				state, firmware := "off", string(m.Firmware)
				if r.Powered(m.Name) {
					state = "on"
				}
				if m.HTTP {
					firmware += " http"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.Name, state, m.MAC, firmware, m.Disk)
			}
			return w.Flush()
		},
	}
}

func power(f *rackFlags) *cobra.Command {
	return &cobra.Command{
		Use:       "power on|off|cycle|reset NAME",
		Short:     "switch a machine",
		Args:      cobra.ExactArgs(2),
		ValidArgs: []string{"on", "off", "cycle", "reset"},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.open()
			if err != nil {
				return err
			}
			switch args[0] {
			case "on":
				return r.PowerOn(cmd.Context(), args[1])
			case "off":
				return r.PowerOff(cmd.Context(), args[1])
			case "cycle":
				return r.PowerCycle(cmd.Context(), args[1])
			case "reset":
				return r.Reset(cmd.Context(), args[1])
			}
			return fmt.Errorf("power %s: want on, off, cycle or reset", args[0])
		},
	}
}

func console(f *rackFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "console NAME",
		Short: "connect with a machine's serial port; Ctrl-C leaves",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.open()
			if err != nil {
				return err
			}
			return r.Console(cmd.Context(), args[0], cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
