package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"provision.internal/daemon"
)

// workshop opens the image store of the configuration.
func (a *app) workshop(p daemon.Progress) (*daemon.Workshop, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	return daemon.OpenWorkshop(cfg, p)
}

func newImagesPull(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "pull",
		Short: "Fetch what the installer images are made of",
		Long: `Fetch the ROOTFS tarball of Void's release and the packages with the kernel, firmware and
tools, for every architecture of images.arch. Each file is verified before it counts as there.
What broke off goes on where it was when the command is run again. provision images build
needs no network afterwards.`,
		Example: "  provision images pull",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := newTransfers(a)
			defer t.end()
			w, err := a.workshop(t.progress())
			if err != nil {
				return err
			}
			for _, arch := range w.Images() {
				if err := w.Pull(cmd.Context(), arch); err != nil {
					return err
				}
				t.say("all for " + arch + " is there; provision images build makes the image")
			}
			return nil
		},
	}
}

func newImagesBuild(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Make the installer images",
		Long: `Make the installer image for every architecture of images.arch, as the daemon does when it
starts: the ROOTFS of Void's release, kernel and drivers out of Void's packages, the tools that
the roles' layouts need, and the agent. It takes no root, no chroot and no Void. The same
inputs give the same files; what has been made already is not made again.

What is missing is fetched first. A running daemon serves the new image after its next start.`,
		Example: "  provision images build\n  provision images build --json",
		Args:    args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		t := newTransfers(a)
		defer t.end()
		w, err := a.workshop(t.progress())
		if err != nil {
			return err
		}
		var all []daemon.Built
		for _, arch := range w.Images() {
			t.say("making the installer for " + arch)
			built, err := w.Build(cmd.Context(), arch)
			if err != nil {
				return err
			}
			all = append(all, built)
		}
		t.end()
		if *asJSON {
			return a.printJSON(all)
		}
		for _, built := range all {
			a.printImages(built.Files)
			fmt.Fprintf(a.out, "it occupies %s of a machine's memory, %s while it is unpacked; made in %s\n",
				size(uint64(built.Memory)), size(uint64(built.Unpacking)), duration(built.Took))
		}
		return nil
	}
	return cmd
}

func newImagesVerify(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read every stored file and compare it with its hash",
		Long: `Read every file of the image store and compare it with its hash. A damaged one is moved aside:
the daemon then makes or fetches it again, and never serves it.`,
		Example: "  provision images verify\n  provision images verify --json",
		Args:    args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		w, err := a.workshop(daemon.Progress{})
		if err != nil {
			return err
		}
		files, err := w.Verify()
		if *asJSON {
			result := struct {
				Files  int      `json:"files"`
				Faults []string `json:"faults"`
			}{files, []string{}}
			if err != nil {
				result.Faults = strings.Split(err.Error(), "\n")
				err = &silent{err}
			}
			return errors.Join(a.printJSON(result), err)
		}
		if err == nil {
			fmt.Fprintf(a.out, "%s %d files are as they should be\n", a.out.green("✓"), files)
		}
		return err
	}
	return cmd
}

func newImagesGC(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove files that the configuration does not need",
		Long: `Remove what the configuration does not need from the image store: superseded images, other
releases, packages that images have been made of, and halves of transfers. What a running
daemon serves stays until it stops.`,
		Example: "  provision images gc",
		Args:    args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		w, err := a.workshop(daemon.Progress{})
		if err != nil {
			return err
		}
		done, err := w.Collect(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(done)
		}
		fmt.Fprintf(a.out, "removed %d files, %s\n", done.Removed, size(uint64(done.Freed)))
		if done.Held > 0 {
			fmt.Fprintf(a.out, "%d more are served by the daemon until it stops\n", done.Held)
		}
		return nil
	}
	return cmd
}
