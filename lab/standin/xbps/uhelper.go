package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// uhelper does what an autoinstaller asks of xbps-uhelper: the architecture, the
// SHA-256 of files, and files by their URLs.
func uhelper(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("name a mode: arch, digest or fetch")
	}
	switch mode, args := args[0], args[1:]; mode {
	case "arch":
		fmt.Println(arch())
		return nil
	case "digest":
		for _, name := range args {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			h := sha256.New()
			_, err = io.Copy(h, f)
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
			fmt.Printf("%x\n", h.Sum(nil))
		}
		return nil
	case "fetch":
		for _, arg := range args {
			// "URL>FILE"; the URL's last part names the file of one that says no more.
			url, name := arg, path.Base(arg)
			if i := strings.LastIndex(arg, ">"); i >= 0 {
				url, name = arg[:i], arg[i+1:]
			}
			if _, _, err := download(ctx, url, name); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("unknown mode %q", mode)
	}
}
