package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func newImagesExport(a *app) *cobra.Command {
	var snapshot string
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "Write one signed file for a site without network",
		Long: `Write one signed file with all that an appliance without network needs to install the roles of
this one: a snapshot of the package repositories with the packages that the roles and the
installers need, the package keys, Void's ROOTFS, and this configuration, for people to read.
Who has the file can read the configuration.

It is signed with this appliance's own key, which the first export makes in the state folder
(authority/export.key). Its public part is printed: provision images import asks for it.

The running daemon gathers what is missing; on Ctrl-C no FILE is left.`,
		Example: "  provision images export site.bundle\n  provision images export site.bundle --snapshot golden",
		Args:    args(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&snapshot, "snapshot", "", "this snapshot, not the newest (provision images snapshots)")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file := args[0]
		if _, err := os.Stat(file); err == nil {
			return usagef("%s exists: remove it, or choose another name", file)
		}
		t := newTransfers(a)
		defer t.end()
		if snapshot == "" {
			all, err := a.client().Snapshots(cmd.Context())
			if err != nil {
				return err
			}
			if len(all) == 0 {
				return errors.New("there is no snapshot yet: run provision images freeze")
			}
			snapshot = all[0].Name
		}
		if _, err := a.client().Complete(cmd.Context(), snapshot, t.step(snapshot)); err != nil {
			return err
		}
		t.say("reading what is to be carried, and signing it")
		e, err := a.client().Export(cmd.Context(), snapshot)
		if err != nil {
			return err
		}
		err = writeWhole(file, func(w io.Writer) error {
			return e.Write(&counted{Writer: w, arrived: func(done int64) { t.arrived(filepath.Base(file), done, e.Size) }})
		})
		if err != nil {
			return err
		}
		t.end()
		if *asJSON {
			return a.printJSON(struct {
				File     string `json:"file"`
				Snapshot string `json:"snapshot"`
				Packages int    `json:"packages"`
				Size     int64  `json:"size"`
				Key      string `json:"key"`
			}{file, snapshot, e.Packages, e.Size, e.Key})
		}
		if e.KeyMade {
			fmt.Fprintln(a.err, "this appliance has made its key for exports; note its public part, below")
		}
		fmt.Fprintf(a.out, "%s holds the snapshot %s with %d packages, %s\n", clean(file), clean(snapshot), e.Packages, size(uint64(e.Size)))
		fmt.Fprintf(a.out, "on the other appliance: provision images import %s --key %s\n", clean(filepath.Base(file)), e.Key)
		return nil
	}
	return cmd
}

// writeWhole makes the file name with what write writes, or leaves none.
func writeWhole(name string, write func(io.Writer) error) error {
	part := name + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(part, name)
	}
	if err != nil {
		if gone := os.Remove(part); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

// counted tells how much has been written.
type counted struct {
	io.Writer
	done    int64
	arrived func(done int64)
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.done += int64(n)
	c.arrived(c.done)
	return n, err
}

// countedReader tells how much has been read.
type countedReader struct {
	io.Reader
	done    int64
	arrived func(done int64)
}

func (c *countedReader) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.done += int64(n)
	c.arrived(c.done)
	return n, err
}

func newImagesImport(a *app) *cobra.Command {
	var key string
	var trust bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take in a file that another appliance exported",
		Long: `Take in a file that provision images export has made on another appliance: its snapshot of the
package repositories with the packages, package keys, and Void's ROOTFS. Set images.upstream to
none where no network leads to Void; machines are then installed from the newest snapshot that was
imported. The other appliance's configuration is put beside the state, for you to read.

Everything is verified before anything is taken: the signature, every file's hash, every
package's own signature. --key names the key that the export printed; whoever signs with it may
bring packages and package keys. The running daemon does it; what fails, or is interrupted with
Ctrl-C, leaves nothing.`,
		Example: "  provision images import site.bundle --key ed25519:…\n  provision images import site.bundle --trust",
		Args:    args(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&key, "key", "", "the key that the export printed")
	toggle(cmd, &trust, "trust", "trust whoever signed it: you have brought it here yourself")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if key != "" && trust {
			return usagef("--key and --trust exclude each other")
		}
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		info, err := f.Stat()
		if err != nil {
			return err
		}
		t := newTransfers(a)
		defer t.end()
		name := filepath.Base(args[0])
		in, err := a.client().Import(cmd.Context(), &countedReader{Reader: f, arrived: func(done int64) {
			t.arrived(name, done, info.Size())
		}}, key, trust)
		if err != nil {
			return err
		}
		t.end()
		if *asJSON {
			return a.printJSON(in)
		}
		fmt.Fprintf(a.out, "imported the snapshot %s of the appliance %s, %d packages, signed with %s\n",
			clean(in.Snapshot), clean(in.By), in.Packages, in.Key)
		fmt.Fprintf(a.out, "its configuration, to compare with yours, is in %s\n", clean(in.Files))
		return nil
	}
	return cmd
}
