package agent

import (
	"context"
	"fmt"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
)

// targetDir is where the new system is mounted.
const targetDir = "/target"

// install carries out one plan. The grant was answered before it exists.
type install struct {
	sys  *System
	log  *Log
	plan installer.Plan
	uefi bool
	self string            // the agent's own binary, which the new system gets
	mark func(step string) // remembers the step for whoever finds the agent dead

	disks   []host.Disk // found by checkDisks
	layout  layout
	key     string     // of the encrypted devices: see keyFile
	open    [][]string // commands that close what was opened, in the order of opening
	mounted []string   // below Root, in the order of mounting
	target  *target    // set once the root file system is mounted
}

// step is a part of an install that is reported and can fail by itself.
type step struct {
	name string // constant: host.Progress.Step
	text string // for a person
	run  func(context.Context) error
}

// StepError is the end of an install.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }

// steps is the whole of an install, in order. The first one reads only; the
// second is the first that writes.
func (in *install) steps() []step {
	all := []step{
		{"disk", "check the disk " + planned(in.plan), in.checkDisks},
		{"partition", "divide the disk", in.partition},
	}
	if in.plan.Layout.Mirror {
		all = append(all, step{"mirror", "make the mirror", in.makeMirrors})
	}
	if in.plan.Layout.Passphrase != "" {
		all = append(all, step{"encrypt", "encrypt", in.encrypt})
	}
	all = append(all, []step{
		{"filesystems", "make file systems", in.makeFilesystems},
		{"mount", "mount the new system", in.mount},
		{"packages", "install packages", in.installPackages},
		{"system", "name, time zone, language, file systems", in.configureSystem},
		{"files", "the role's files", in.placeFiles},
		{"configure", "configure packages", in.reconfigure},
		{"users", "accounts", in.makeUsers},
		{"services", "services", in.enableServices},
		{"firstboot", "first-boot service", in.placeFirstBoot},
	}...)
	// Its failure must leave a disk that does not boot, rather than a half-made host.
	if in.plan.Script != "" {
		all = append(all, step{"script", "the role's script", in.runScript})
	}
	return append(all,
		step{"bootloader", "boot loader", in.installBootloader},
		step{"bootentry", "the firmware's boot entry", in.addBootEntry},
		step{"unmount", "write everything to the disk", in.unmount},
	)
}

// run does all steps. Whatever happens, nothing stays mounted.
func (in *install) run(ctx context.Context) error {
	for _, s := range in.steps() {
		in.log.Say("%s: %s", s.name, s.text)
		in.log.Progress(host.Progress{Step: s.name, Text: s.text})
		in.mark(s.name)
		began := time.Now()
		if err := s.run(ctx); err != nil {
			if e := in.unmount(context.WithoutCancel(ctx)); e != nil {
				in.log.Say("after the fault: %v", e)
			}
			return &StepError{Step: s.name, Err: err}
		}
		in.log.Detail(fmt.Sprintf("%s: took %.1f s", s.name, time.Since(began).Seconds()))
	}
	return nil
}

// command runs c and hands its output to the log.
func (in *install) command(ctx context.Context, c Command) error {
	line := c.Line
	c.Line = func(s string) {
		in.log.Detail(s)
		if line != nil {
			line(s)
		}
	}
	in.log.Detail("$ " + c.String())
	return in.sys.Run(ctx, c)
}

// inTarget runs a program of the new system inside of it.
func (in *install) inTarget(ctx context.Context, args ...string) error {
	return in.command(ctx, Command{Args: args, Chroot: in.sys.path(targetDir)})
}

// has reports whether the new system has a program.
func (in *install) has(program string) bool {
	_, err := lookUp(in.sys.path(targetDir), program)
	return err == nil
}
