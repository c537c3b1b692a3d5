package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

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
	c, err := client(cfg)
	if err != nil {
		return err
	}
	c.Log = log
	c.Task = nomadtest.RawExec{Dir: filepath.Join(cfg.DataDir, "alloc")}.Run
	log.InfoContext(ctx, "agent starts", "host", c.Name, "node", c.ID, "peer", c.Server)
	return c.Run(ctx)
}

// client makes the machine that cfg describes. Its identity is in the data
// folder and so survives a reboot, but no reinstallation.
func client(cfg config) (*nomadtest.Client, error) {
	dir := filepath.Join(cfg.DataDir, "client")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	c := &nomadtest.Client{
		Name: cfg.Name, Datacenter: cfg.Datacenter, Pool: cfg.Client.Pool, Class: cfg.Client.Class, Meta: cfg.Client.Meta,
	}
	var err error
	if c.Server, err = httpAddress(cfg.Client.Servers); err != nil {
		return nil, err
	}
	if c.ID, err = identity(filepath.Join(dir, "client-id")); err != nil {
		return nil, err
	}
	if c.Secret, err = identity(filepath.Join(dir, "secret-id")); err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(dir, "intro_token.jwt"))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("introduction token: %w", err)
	}
	c.Introduction = strings.TrimSpace(string(token))
	return c, nil
}
