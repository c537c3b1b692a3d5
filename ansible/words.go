package ansible

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"provision.internal/nomad"
)

// failure is why the recap is a bad one: what its last failed task says.
func (r Recap) failure() string {
	if len(r.Failures) == 0 {
		t := r.Totals()
		return fmt.Sprintf("%d tasks have failed and %d hosts were not reached; none says why", t.Failed, t.Unreachable)
	}
	f := r.Failures[len(r.Failures)-1]
	what := "failed"
	if f.Unreachable {
		what = "did not reach the host"
	}
	return fmt.Sprintf("task %q of play %q %s: %s", f.Task, f.Play, what, f.Message)
}

// unexplained is why a job has failed that left no recap which says so. Ansible
// tells what is wrong with a playbook as errors, last first.
func unexplained(err error, playbook string, output error, logs []nomad.Log) string {
	why := strings.TrimPrefix(err.Error(), nomad.ErrJob.Error()+": ")
	if errors.Is(output, nomad.ErrOutput) {
		why += "; " + output.Error() + ", so that its recap is not known"
	}
	told := ansibleError(logs)
	switch {
	case playbook != "" && strings.Contains(told, playbook+" could not be found"):
		return "there is no such playbook in this commit: " + told
	case strings.Contains(told, "does not match any hosts"), strings.Contains(told, "no hosts to target"), strings.Contains(told, "no host to target"):
		return "the inventory does not have this host under its node name: " + told
	case told != "":
		return why + ": " + told
	}
	if last := nomad.Last(logs); last != "" {
		return why + "; its last line: " + text(last)
	}
	return why
}

// ansibleError is the last line that Ansible calls an error; empty when there is
// none.
func ansibleError(logs []nomad.Log) (found string) {
	for _, l := range logs {
		if l.Stream != "stderr" {
			continue
		}
		for _, line := range l.Lines {
			if rest, ok := strings.CutPrefix(strings.TrimPrefix(line, "["), "ERROR"); ok {
				found = text(strings.TrimLeft(rest, "]!: "))
			}
		}
	}
	return found
}

// withoutStdout leaves out what may be a document of Ansible's: there,
// differences show what is in files.
func withoutStdout(logs []nomad.Log) []nomad.Log {
	return slices.DeleteFunc(slices.Clone(logs), func(l nomad.Log) bool { return l.Stream == "stdout" })
}

// logOf is what is kept of a run's output for a person. The recap stands for the
// output that it was read from.
func logOf(r *Recap, logs []nomad.Log) (lines []string) {
	for _, l := range logs {
		for _, line := range l.Lines {
			lines = append(lines, l.Task+" "+l.Stream+": "+line)
		}
	}
	if r == nil {
		return lines
	}
	for _, c := range r.Changes {
		lines = append(lines, fmt.Sprintf("changed: [%s] %s: %s", c.Host, c.Play, c.Task))
	}
	for _, f := range r.Failures {
		what := "failed"
		if f.Unreachable {
			what = "unreachable"
		}
		lines = append(lines, fmt.Sprintf("%s: [%s] %s: %s: %s", what, f.Host, f.Play, f.Task, f.Message))
	}
	t := r.Totals()
	return append(lines, fmt.Sprintf("recap: ok=%d changed=%d unreachable=%d failed=%d skipped=%d rescued=%d ignored=%d",
		t.OK, t.Changed, t.Unreachable, t.Failed, t.Skipped, t.Rescued, t.Ignored))
}
