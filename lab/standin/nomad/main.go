package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"provision.internal/nomad/nomadtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nomad:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer, log *slog.Logger) error {
	if len(args) == 0 {
		return fmt.Errorf("want a command: agent or version")
	}
	switch args[0] {
	case "version", "-version", "--version":
		fmt.Fprintln(out, "Nomad stand-in of the provision lab")
		return nil
	case "agent":
		return agent(ctx, args[1:], log)
	}
	return fmt.Errorf("no command %q: this is the lab's stand-in, which knows agent and version", args[0])
}

// paths collects the values of a flag that may be repeated.
type paths []string

func (p *paths) String() string     { return strings.Join(*p, ",") }
func (p *paths) Set(s string) error { *p = append(*p, s); return nil }

func agent(ctx context.Context, args []string, log *slog.Logger) error {
	var from paths
	flags := flag.NewFlagSet("nomad agent", flag.ContinueOnError)
	flags.Var(&from, "config", "`file or folder` of configuration; may be repeated")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg, err := readConfig(from)
	if err != nil {
		return err
	}
	var c *nomadtest.Client
	if cfg.client() {
		if c, err = newClient(cfg, log); err != nil {
			return err
		}
	}
	parts, ctx := errgroup.WithContext(ctx)
	if cfg.server() {
		log.InfoContext(ctx, "server starts", "host", cfg.Name)
		parts.Go(func() error { return serve(ctx, cfg) })
	}
	if c != nil {
		log.InfoContext(ctx, "client starts", "host", c.Name, "node", c.ID, "peer", c.Server)
		parts.Go(func() error { return c.Run(ctx) })
	}
	return parts.Wait()
}
