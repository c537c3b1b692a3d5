package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"provision.internal/daemon"
	"provision.internal/web"
)

func newImages(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "images",
		GroupID: groupDaemon,
		Short:   "The boot files that the appliance serves",
		Long: `The boot files that the appliance serves. The daemon makes the installer's when it
starts; these commands do it ahead of time, without a daemon too. All of Void's files are
verified, and whatever is damaged is made again instead of being served.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImagesList(a), newImagesPull(a), newImagesBuild(a), newImagesVerify(a), newImagesGC(a),
		newImagesSnapshots(a), newImagesFreeze(a), newImagesThaw(a), newImagesExport(a), newImagesImport(a))
	return cmd
}

func newImagesList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the boot files with their hashes",
		Example: "  provision images list\n  provision images list --json",
		Args:    args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		images, err := a.client().Images(cmd.Context())
		if errors.Is(err, web.ErrUnreachable) {
			if kept, keptErr := a.keptImages(); keptErr == nil {
				fmt.Fprintln(a.err, "no daemon answers; these images are in its state folder")
				images, err = kept, nil
			}
		}
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(images)
		}
		a.printImages(images)
		return nil
	}
	return cmd
}

// keptImages are those that a daemon would find made.
func (a *app) keptImages() ([]web.Image, error) {
	w, err := a.workshop(daemon.Progress{})
	if err != nil {
		return nil, err
	}
	return w.List()
}

func (a *app) printImages(images []web.Image) {
	rows := make([][]string, len(images))
	for i, im := range images {
		note := im.Source
		if im.Error != "" {
			note = im.Error
		}
		bytes := "-"
		if im.Size > 0 {
			bytes = size(uint64(im.Size))
		}
		rows[i] = []string{im.Name, im.Kind, dash(im.Arch), im.State, bytes, dash(cut(im.Hash, 13)), note}
	}
	fmt.Fprint(a.out, table([]string{"NAME", "KIND", "ARCH", "STATE", "SIZE", "SHA256", "NOTE"}, rows, 0, a.out.paint,
		func(row, column int, cell string) string {
			if column == 3 {
				switch images[row].State {
				case "ready":
					return a.out.green(cell)
				case "failed":
					return a.out.red(cell)
				}
				return a.out.yellow(cell)
			}
			return cell
		}))
}
