package nomad

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/api"
)

// verdict is what a job's evaluations and allocations say of its outcome.
type verdict struct {
	done    bool   // nothing more will happen
	ended   bool   // by itself: nothing is left to stop
	failure string // empty: success, when done
	waiting string // what it waits for, when not done
	allocs  []*api.AllocationListStub
}

// judge reads the outcome where Nomad keeps it: a job that is "dead" may have
// succeeded, failed, or never been placed.
func judge(job *api.Job, v *jobView) verdict {
	stopped := job.Stop != nil && *job.Stop
	tried := false // the scheduler has done what it will
	for _, id := range slices.Sorted(maps.Keys(v.evals)) {
		e := v.evals[id]
		switch {
		case len(e.FailedTGAllocs) > 0:
			return verdict{done: true, failure: "it cannot be placed: " + unplaced(e.FailedTGAllocs)}
		case e.Status == api.EvalStatusFailed, e.Status == api.EvalStatusCancelled && e.TriggeredBy == "job-register":
			return verdict{done: true, failure: "its evaluation has " + e.Status + ": " + e.StatusDescription}
		case e.TriggeredBy == "job-deregister":
			stopped = true
		case e.Status == api.EvalStatusComplete && e.BlockedEval == "" && e.NextEval == "":
			tried = true
		}
	}
	out := verdict{done: true, ended: true, allocs: current(v)}
	placed := map[string]bool{}
	for _, a := range out.allocs {
		placed[a.TaskGroup] = true
		if why := allocFailure(a); why != "" {
			// One failed group decides, whatever the others still do.
			return verdict{done: true, failure: why, allocs: out.allocs}
		}
		if a.ClientStatus != api.AllocClientStatusComplete {
			out.done, out.waiting = false, "its task is "+a.ClientStatus
		}
	}
	for _, g := range job.TaskGroups {
		switch {
		case placed[*g.Name]:
		case tried && !stopped:
			// Allocations are known before their evaluation is complete. A sysbatch
			// job that meets no node at all gives no other sign.
			return verdict{done: true, failure: "it cannot be placed: " + noNode, allocs: out.allocs}
		default:
			out.done, out.waiting = false, "it is not placed yet"
		}
	}
	if !out.done && stopped {
		return verdict{done: true, ended: true, failure: "somebody stopped it: enrol the host again", allocs: out.allocs}
	}
	return out
}

// current leaves out allocations that were replaced or are about to be.
func current(v *jobView) []*api.AllocationListStub {
	var out []*api.AllocationListStub
	for _, id := range slices.Sorted(maps.Keys(v.allocs)) {
		if a := v.allocs[id]; a.NextAllocation == "" {
			out = append(out, a)
		}
	}
	return out
}

// allocFailure says why a has failed; empty when it has not, or not for good.
func allocFailure(a *api.AllocationListStub) string {
	if a.FollowupEvalID != "" { // the template allows another attempt
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(a.TaskStates)) {
		if t := a.TaskStates[name]; t != nil && t.Failed && t.State == "dead" {
			return fmt.Sprintf("task %s has failed: %s", name, taskEnd(t))
		}
	}
	switch a.ClientStatus {
	case api.AllocClientStatusFailed:
		return "its allocation has failed: " + a.ClientDescription
	case api.AllocClientStatusLost:
		return "the node was lost while the job ran: look at its console and power, then enrol it again"
	}
	if a.DesiredStatus == api.AllocDesiredStatusStop || a.DesiredStatus == api.AllocDesiredStatusEvict {
		return "it was stopped: " + a.DesiredDescription
	}
	return ""
}

// taskEnd returns the event that explains a task's end: the last one but the
// bookkeeping of restarts.
func taskEnd(t *api.TaskState) string {
	for _, e := range slices.Backward(t.Events) {
		switch e.Type {
		case api.TaskNotRestarting, api.TaskKilled, api.TaskKilling, api.TaskRestarting, api.TaskSiblingFailed:
			continue
		case api.TaskDriverFailure:
			return driverFailure(strings.Join(strings.Fields(e.DisplayMessage), " "))
		case api.TaskTerminated:
			if code := e.Details["exit_code"]; code != "" && code != "0" {
				return "exit code " + code
			}
		}
		if e.DisplayMessage != "" {
			return strings.Join(strings.Fields(e.DisplayMessage), " ")
		}
	}
	return "its end was not explained"
}

// driverFailure adds what to do to the words of a driver that cannot start a
// task. Docker's are those of its daemon, whatever driver asked.
func driverFailure(text string) string {
	for _, known := range []struct{ words, advice string }{
		{"manifest unknown", "the registry has no image of this commit: publish it with provision config publish"},
		{"pull access denied", "the registry has no such image, or the host may not pull it: check config.image"},
		{"HTTP response to HTTPS client", "the registry speaks plain HTTP: name it in insecure-registries of the host's Docker"},
		{"connection refused", "the registry does not answer: check that it runs, and config.image"},
		{"no such host", "the registry's name is unknown to the host: check config.image and the host's DNS"},
		{"i/o timeout", "the registry does not answer: check that it runs, and config.image"},
		{"could not be found", "the host lacks it: add its package to the role"},
	} {
		if strings.Contains(text, known.words) {
			return text + "; " + known.advice
		}
	}
	return text
}

const noNode = "no ready node is in its datacenters and node pool"

// unplaced turns the scheduler's account of a failed placement into words.
func unplaced(groups map[string]*api.AllocationMetric) string {
	var why []string
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		m := groups[name]
		if m == nil {
			continue
		}
		before := len(why)
		for _, c := range slices.Sorted(maps.Keys(m.ConstraintFiltered)) {
			why = append(why, fmt.Sprintf("%d nodes are filtered by %s", m.ConstraintFiltered[c], c))
		}
		for _, d := range slices.Sorted(maps.Keys(m.DimensionExhausted)) {
			why = append(why, fmt.Sprintf("%d nodes lack %s", m.DimensionExhausted[d], d))
		}
		for _, q := range m.QuotaExhausted {
			why = append(why, "the quota is used up: "+q)
		}
		switch {
		case len(why) > before:
		case m.NodesEvaluated == 0:
			why = append(why, noNode)
		default:
			why = append(why, fmt.Sprintf("of %d nodes none fits group %s", m.NodesEvaluated, name))
		}
	}
	return strings.Join(why, ", ")
}
