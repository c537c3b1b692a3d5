package main

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"provision.internal/daemon"
	"provision.internal/host"
	"provision.internal/publish"
	"provision.internal/upkeep"
)

func newConfigPublish(a *app) *cobra.Command {
	var revision, platform string
	var dispatch, detach bool
	var playbooks []string
	cmd := &cobra.Command{
		Use:   "publish DIR",
		Short: "Make the image of a Git revision, push it, and make it what hosts are to have",
		Long: `Make the container image of a Git revision of playbooks and push it to the registry of config.image,
with the commit as its tag. The image is config.base, where Ansible is, and one layer above it with
the files of DIR in config.path. Then the appliance is told that hosts are to have this commit.

DIR is a repository, a folder in one, or a bare repository. What is published is what is committed:
export-ignore in .gitattributes leaves files out, and .dockerignore is not read. No Docker is needed.
Logins are those of docker login or podman login. The same commit on the same base is the same image,
and only layers that the registry does not have are sent.`,
		Example: `  provision config publish ~/site
  provision config publish ~/site --revision v12 --dispatch
  provision config publish ~/site --dispatch --playbook base.yml --json`,
		Args: args(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&revision, "revision", "HEAD", "commit, branch or tag to publish")
	cmd.Flags().StringVar(&platform, "platform", "", "which image of config.base is meant, OS/ARCHITECTURE (linux/amd64)")
	toggle(cmd, &dispatch, "dispatch", "apply it to every host that is Ready, and watch")
	cmd.Flags().StringArrayVar(&playbooks, "playbook", nil, "with --dispatch: playbook to run; may be repeated (each host's own)")
	toggle(cmd, &detach, "detach", "with --dispatch: do not watch, print the run's name")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !dispatch && (detach || len(playbooks) > 0) {
			return usagef("--playbook and --detach are for --dispatch")
		}
		cfg, err := a.config()
		if err != nil {
			return err
		}
		if cfg.Config.Image == "" {
			return usagef("%s: config.image is missing: name the image to push, such as registry.example:5000/ansible/ansible", cfg.File)
		}
		rev, err := publish.Open(cmd.Context(), args[0], revision)
		if err != nil {
			return err
		}
		if n := len(rev.Dirty); n > 0 {
			fmt.Fprintf(a.err, "%s %s; what is published is commit %.12s\n", a.err.yellow("not committed, and not published:"), clean(few(rev.Dirty)), rev.Commit)
		}
		t := newTransfers(a)
		t.verb = "pushing"
		defer t.end()
		p := publisher(cfg, playbooks)
		p.Platform, p.Progress, p.Note = platform, t.arrived, t.say
		out, err := p.Publish(cmd.Context(), rev)
		if err != nil {
			return err
		}
		t.end()
		if _, err := a.client().SetCommit(cmd.Context(), out.Commit); err != nil {
			return fmt.Errorf("%s is in the registry, but the appliance does not know yet that hosts are to have it (provision config commit %s says so): %w", out.Image, out.Commit, err)
		}
		if !dispatch {
			return a.tellPublished(out, *asJSON)
		}
		if err := a.tellPublished(out, false); err != nil {
			return err
		}
		run, err := a.client().Dispatch(cmd.Context(), upkeep.Request{Commit: out.Commit, Playbooks: playbooks, All: true, Cause: host.CauseHook})
		switch {
		case err != nil:
			return err
		case detach && *asJSON:
			return a.printJSON(run)
		case detach:
			fmt.Fprintf(a.out, "applied to every host by run %s; provision config follow %s shows it\n", run.ID, run.ID)
			return nil
		}
		return a.followRun(cmd.Context(), run.ID, *asJSON)
	}
	return cmd
}

// publisher is what the configuration says. A revision must have the playbooks
// that a role names, and those that are about to run.
func publisher(cfg daemon.Config, playbooks []string) publish.Publisher {
	required := slices.Concat(cfg.Config.Playbooks, playbooks)
	for _, role := range cfg.Roles {
		required = append(required, role.Playbooks...)
	}
	slices.Sort(required)
	return publish.Publisher{
		Image: cfg.Config.Image, Base: cfg.Config.Base, Folder: filepath.Dir(cfg.File), Path: cfg.Config.PathInImage(),
		Insecure: cfg.Config.Insecure, Required: slices.Compact(required),
	}
}

// tellPublished says what is in the registry now: to programs, or to people, and
// then beside the results of what follows.
func (a *app) tellPublished(p publish.Published, asJSON bool) error {
	if asJSON {
		return a.printJSON(p)
	}
	layers := fmt.Sprintf("%d new layers of %d, %s", p.New, p.Layers, size(uint64(p.Sent)))
	switch p.New {
	case 0:
		layers = "no new layer"
	case 1:
		layers = fmt.Sprintf("1 new layer of %d, %s", p.Layers, size(uint64(p.Sent)))
	}
	fmt.Fprintf(a.err, "%s published %s\n  %d files, %s, in %s; %s\n", a.err.green("✓"), clean(p.Image), p.Files, layers, duration(p.Took), p.Digest)
	return nil
}

// few names the first of what git status lists, and counts the others.
func few(lines []string) string {
	const shown = 3
	text := ""
	for i, l := range lines {
		if i == shown {
			return text + fmt.Sprintf(" and %d more", len(lines)-shown)
		}
		if i > 0 {
			text += ", "
		}
		text += l[min(3, len(l)):]
	}
	return text
}
