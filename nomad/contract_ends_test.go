package nomad

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// jobspec is a job of one task that is not tried again.
func jobspec(kind, more, config string) string {
	return fmt.Sprintf(`job "x" {
  type = %q
  %s
  group "g" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    task "t" {
      driver = "raw_exec"
      config {
        %s
      }
    }
  }
}`, kind, more, config)
}

// shell is the configuration of a task that runs text.
func shell(text string) string {
	return fmt.Sprintf("command = \"/bin/sh\"\nargs = [\"-c\", \"%s\"]", text)
}

const (
	once = `reschedule {
    attempts  = 0
    unlimited = false
  }`
	rack1 = `constraint {
    attribute = "${meta.rack}"
    value     = "r1"
  }`
)

// A job that can never succeed ends with the reason, however the cluster tells
// it: at the parsing, the registration, the placement, the start, or the end.
func TestContractEnds(t *testing.T) { onBoth(t, false, ends) }

func ends(t *testing.T, p peer) {
	enrolled(t, p)
	for _, test := range []struct {
		name, job string
		want      string // of the reason
		last      string // of the log
	}{
		{"exit code", jobspec("sysbatch", "", shell("echo on ${node.unique.name} >&2; exit 3")), "task t has failed: exit code 3", "on host1"},
		{"exit code of batch", jobspec("batch", once, shell("echo no such package >&2; exit 2")), "task t has failed: exit code 2", "no such package"},
		{"no program", jobspec("sysbatch", "", `command = "/nonexistent"`), `binary "/nonexistent" could not be found`, ""},
		{"no command", jobspec("sysbatch", "", "args = [\"x\"]"), "task t has failed: 2 errors occurred: * failed to parse config: * ", ""},
		{"shell default in the configuration", jobspec("sysbatch", "", shell("echo $${A:-x}")), "task t has failed: 2 errors occurred: * failed to parse config: * Extra characters after interpolation expression: ", ""},
		{"unplaced sysbatch", jobspec("sysbatch", rack1, shell("")), "cannot be placed: 1 nodes are filtered by ${meta.rack} = r1", ""},
		{"unplaced batch", jobspec("batch", rack1, shell("")), "cannot be placed: 1 nodes are filtered by ${meta.rack} = r1", ""},
		{"no such datacenter", jobspec("sysbatch", `datacenters = ["mars"]`, shell("")), "no ready node is in its datacenters and node pool", ""},
		{"service", jobspec("service", "", shell("")), "never ends", ""},
		{"parameterized", jobspec("batch", "parameterized {}", shell("")), "would not run", ""},
		{"no group", "job \"x\" {\n type = \"batch\"\n}", "no group", ""},
		{"empty group", "job \"x\" {\n type = \"batch\"\n group \"g\" {}\n}", "Missing tasks", ""},
		{"unclosed", `job "x" {`, "Unclosed configuration block", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := p.cfg
			cfg.Job = file(t, "job.hcl", test.job)
			c := connectAt(t, cfg, realPace)
			job := Job{Host: "host1", Attempt: strings.ReplaceAll(test.name, " ", "-")}
			got, err := c.RunJob(within(t), job)
			if !errors.Is(err, ErrJob) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("RunJob: %v, want ErrJob with %q", err, test.want)
			}
			if last := Last(got.Logs); last != test.last {
				t.Errorf("last line %q, want %q", last, test.last)
			}
			// A second appliance, or the same after a restart, hears the same.
			if _, again := c.RunJob(within(t), job); !errors.Is(again, ErrJob) {
				t.Errorf("RunJob of the same attempt: %v, want ErrJob", again)
			}
		})
	}
}
