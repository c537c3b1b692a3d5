// The agent is init of the installer's initrd or what a NETBOOT image's init runs,
// the first-boot service of the system that it installed, and the kernel's modprobe
// in between.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"provision.internal/installer/agent"
)

// version is set by the build.
var version = "unknown"

func main() {
	if os.Getpid() == 1 {
		agent.Supervise()
	}
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: provision-agent install | enrol | version")
		return 2
	}
	var err error
	switch args[0] {
	case agent.CarriedArgument:
		return agent.Carry()
	case agent.WorkArgument:
		work := agent.Work
		if len(args) > 1 && args[1] == agent.CarriedArgument {
			work = agent.WorkCarried
		} else if os.Getppid() != 1 {
			err = errors.New("install runs in the installer's initrd only: it would write to this machine's disks")
			break
		}
		if err = work(ctx, version); err != nil {
			fmt.Fprintf(os.Stdout, "provision: %v\n", err)
			return agent.ExitTold
		}
	case "enrol":
		err = agent.NewEnrolment().Run(ctx)
	case "version":
		fmt.Println(version)
	case "-q", "--": // the kernel: modprobe -q -- NAME
		err = agent.Modprobe(args)
	default:
		err = fmt.Errorf("unknown command %q", args[0])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "provision-agent: %v\n", err)
		return 1
	}
	return 0
}
