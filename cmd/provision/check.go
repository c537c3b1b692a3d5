package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"provision.internal/daemon"
)

func newCheck(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check",
		GroupID: groupDaemon,
		Short:   "Check the configuration and the world around it",
		Long: `Check the configuration, and then what it needs: interfaces, addresses, ports,
files and signatures, Nomad, and other DHCP servers on the wire. Every fault comes
with what to do about it. Nothing is changed. Some checks need root.`,
		Example: `  provision check
  provision check --config ./provision.yaml`,
		Args: args(cobra.NoArgs),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.config()
		var faults daemon.Faults
		switch {
		case err != nil && !errors.As(err, &faults):
			return err
		case err != nil && *asJSON:
			return errors.Join(a.printJSON(asFindings(faults)), &silent{err})
		case err != nil:
			for _, f := range asFindings(faults) {
				a.printFinding(f)
			}
			return &silent{err}
		}
		all := []daemon.Finding{{Verdict: daemon.Good, What: "configuration", Text: a.settings.GetString("config")}}
		if !*asJSON {
			a.printFinding(all[0])
		}
		daemon.Check(cmd.Context(), cfg, func(f daemon.Finding) {
			all = append(all, f)
			if !*asJSON {
				a.printFinding(f)
			}
		})
		if *asJSON {
			if err := a.printJSON(all); err != nil {
				return err
			}
		}
		wrong := 0
		for _, f := range all {
			if f.Verdict == daemon.Bad {
				wrong++
			}
		}
		if wrong > 0 {
			return fmt.Errorf("%d of %d checks found a fault", wrong, len(all))
		}
		return nil
	}
	return cmd
}

func asFindings(faults daemon.Faults) []daemon.Finding {
	all := make([]daemon.Finding, len(faults))
	for i, f := range faults {
		all[i] = daemon.Finding{Verdict: daemon.Bad, What: f.Key, Text: f.Problem}
	}
	return all
}

func (a *app) printFinding(f daemon.Finding) {
	marks := map[daemon.Verdict]string{
		daemon.Good: a.out.green("✓"), daemon.Warning: a.out.yellow("!"),
		daemon.Bad: a.out.red("✗"), daemon.Skipped: a.out.dim("–"),
	}
	fmt.Fprintf(a.out, "%s %s: %s\n", marks[f.Verdict], clean(f.What), clean(f.Text))
	if f.Do != "" {
		fmt.Fprintf(a.out, "    → %s\n", clean(f.Do))
	}
}
