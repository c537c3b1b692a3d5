package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"provision.internal/router/ros"
	"provision.internal/web"
)

func newRouterBootstrap(a *app) *cobra.Command {
	var req web.Bootstrap
	var pin string
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Take over a router that was just installed",
		Long: `Take over a router that has run the script of provision router bootstrap script: reach it over the
way in (router.bootstrap), pin its certificate, bring it to the configuration in a first commit that
leaves the way in alone, prove that it answers at its production address, and only then remove the
way in. Whatever step fails, the router still answers at one of the two addresses, and the command,
given again, goes on from there. On a router that is taken over already it is provision router apply.

Nobody knows the certificate of a new router: give the fingerprint that the router itself shows
(/certificate/print detail), or --trust whatever answers, where nobody else can.`,
		Example: `  provision router bootstrap --certificate sha256:7f83…
  provision router bootstrap --trust     # on a cable of its own`,
		Args: cobra.ArbitraryArgs,
	}
	cmd.Flags().StringVar(&pin, "certificate", "", "the router's certificate, sha256:…")
	toggle(cmd, &req.Trust, "trust", "trust whatever certificate it shows, and pin it")
	toggle(cmd, &req.Anew, "anew", "forget the pinned certificate: the router was reset")
	toggle(cmd, &req.SkipBGP, "skip-bgp", "do not wait for BGP sessions")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("there is no command %q; see provision router bootstrap --help", "router bootstrap "+args[0])
		}
		if pin != "" {
			var err error
			if req.Certificate, err = ros.ParsePin(pin); err != nil {
				return usagef("--certificate: %v", err)
			}
		}
		s := newSteps(a)
		c, err := a.client().BootstrapRouter(cmd.Context(), req, s.show)
		s.end()
		return a.tellCommit(c, err, *asJSON)
	}
	cmd.AddCommand(newRouterScript(a))
	return cmd
}

func newRouterScript(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "script",
		Short: "Print the script with which a router is installed anew",
		Long: `Print the script for netinstall's "Configure script": it makes the way in (router.bootstrap), an
account for the appliance, a certificate, and a firewall that lets nobody else in. The router keeps
it and runs it again at each reset.

The password of router.password_file is in it: keep the file as you keep that one.`,
		Example: "  (umask 077; provision router bootstrap script >provision.rsc)",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if cfg.Router == nil {
				return usagef("%s has no router section, or router: none", cfg.File)
			}
			script, err := cfg.RouterScript()
			if err != nil {
				return err
			}
			fmt.Fprint(a.out, script)
			return nil
		},
	}
}
