// Command xbps stands in for XBPS inside machines of the lab, where Debian has
// no package of the real one. By the name that it is called by it is xbps-install,
// xbps-reconfigure, xbps-query or xbps-uhelper, with the options that an installer and an operator
// use and the output and files of the real programs.
//
// It differs on purpose in one point: packages are unpacked while later ones are
// still downloaded, each after its own verification, because emulated machines are slow. The real program
// verifies all of them first, and refuses files in common before it unpacks anything.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, filepath.Base(os.Args[0]), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		var coded *codedError
		if errors.As(err, &coded) {
			os.Exit(int(coded.errno))
		}
		os.Exit(1)
	}
}

// codedError is an error for which XBPS ends with an error number of the system.
type codedError struct {
	error
	errno syscall.Errno
}

func (e *codedError) Unwrap() error { return e.error }

func exit(errno syscall.Errno, err error) error { return &codedError{err, errno} }

func run(ctx context.Context, program string, args []string) error {
	syscall.Umask(0o022)
	switch program {
	case "xbps-install":
		return install(ctx, args)
	case "xbps-reconfigure":
		return reconfigure(ctx, args)
	case "xbps-query":
		return query(args)
	case "xbps-uhelper":
		return uhelper(ctx, args)
	}
	return fmt.Errorf("%s: call this program xbps-install, xbps-reconfigure, xbps-query or xbps-uhelper", program)
}

// flags returns a set with the options that all programs have.
func flags(program string, root *string) *pflag.FlagSet {
	f := pflag.NewFlagSet(program, pflag.ContinueOnError)
	f.StringVarP(root, "rootdir", "r", "/", "full path to rootdir")
	f.BoolP("verbose", "v", false, "accepted and ignored")
	f.StringP("config", "C", "", "accepted and ignored")
	return f
}

func parse(f *pflag.FlagSet, args []string) (help bool, err error) {
	err = f.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return true, nil
	}
	return false, err
}

// reconfigure runs the post stage of INSTALL scripts again.
func reconfigure(ctx context.Context, args []string) error {
	var root string
	f := flags("xbps-reconfigure", &root)
	all := f.BoolP("all", "a", false, "process all packages")
	force := f.BoolP("force", "f", false, "also those that are configured")
	if help, err := parse(f, args); help || err != nil {
		return err
	}
	s, err := openSystem(root)
	if err != nil {
		return err
	}
	defer s.close()
	names := f.Args()
	if *all {
		names = s.names()
	}
	for _, name := range names {
		p, ok := s.packages[name]
		if !ok {
			return fmt.Errorf("package %s is not installed", name)
		}
		if p.State == stateInstalled && !*force {
			continue
		}
		if err := s.configure(ctx, p); err != nil {
			return errors.Join(err, s.save())
		}
		fmt.Printf("%s: configured successfully.\n", p.Pkgver)
	}
	return s.save()
}

// query lists packages, one package's properties, or its files.
func query(args []string) error {
	var root string
	f := flags("xbps-query", &root)
	list := f.BoolP("list-pkgs", "l", false, "list installed packages")
	files := f.BoolP("files", "f", false, "list the files of a package")
	if help, err := parse(f, args); help || err != nil {
		return err
	}
	s, err := openSystem(root)
	if err != nil {
		return err
	}
	defer s.close()
	if *list {
		s.list(os.Stdout)
		return nil
	}
	if f.NArg() != 1 {
		return errors.New("name one package, or give -l")
	}
	p, ok := s.packages[f.Arg(0)]
	if !ok {
		return fmt.Errorf("package %s is not installed", f.Arg(0))
	}
	if *files {
		return s.listFiles(os.Stdout, p)
	}
	p.show(os.Stdout)
	return nil
}
