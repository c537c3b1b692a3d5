package enroll

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"provision.internal/host"
	"provision.internal/nomad"
)

// overdue says, for a person, what h has outstayed and what to do. detail is
// what the last attempt was waiting for, if anything.
func (r *round) overdue(ctx context.Context, h host.Host, detail error) string {
	again := "then run provision reinstall " + h.Name
	var what string
	switch h.State {
	case host.Admitted:
		if trouble := r.ports.troubleOf(h.MAC); trouble != "" && !h.InPlace() {
			what = "its port is not ready: " + trouble + "; then run provision enroll " + h.Name + " again"
			break
		}
		what = "no machine with its MAC address took the grant: put network boot first in its firmware, power it on, and run provision enroll " + h.Name + " again"
	case host.Installing:
		what = "the installation did not end" + at(h.Progress) + ": look at the machine's console and at provision logs " + h.Name + ", " + again
	case host.Installed:
		if h.Progress.Step == host.StepEnrol {
			what = "the installed system could not be let into the cluster: " + h.Progress.Text + "; it goes on asking"
			break
		}
		what = "the installed system did not report: look at its console; if it did not boot, see that its firmware boots from the disk; " + again
	case host.Booted:
		what = "its Nomad node did not become ready" + because(detail)
	case host.Joined:
		what = "the configuration job did not end" + because(detail)
		// Nobody waits for it any more. Left alone it would go on changing a
		// host that counts as failed.
		stop, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, run := r.order(h)
		if err := r.runner().Stop(stop, h.Name, run); err != nil {
			what += fmt.Sprintf("; it could not be stopped (%v): run nomad job stop for what begins with %s", err, nomad.Job{Host: h.Name, Attempt: run.Attempt}.ID())
		}
	default:
		what = "it did not get on" + because(detail)
	}
	return fmt.Sprintf("after %s in %s %s", r.now().Sub(h.Since).Round(time.Second), h.State, what)
}

func at(p host.Progress) string {
	if p.Step == "" {
		return ""
	}
	return strings.TrimRight(" (it was at "+p.Step+": "+p.Text, ": ") + ")"
}

// because leaves out that it was the deadline which ended the attempt.
func because(err error) string {
	if err == nil {
		return ""
	}
	text := strings.TrimSuffix(err.Error(), ": "+errLate.Error())
	if errors.Is(err, errLate) && text == errLate.Error() {
		return ""
	}
	return ": " + text
}
