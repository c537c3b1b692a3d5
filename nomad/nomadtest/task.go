package nomadtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/nomad/api"
)

// run runs the tasks of one allocation one after the other and reports. The
// first failure ends it. ctx ends when the allocation is stopped, and with life,
// after which nobody is left to report.
func (a *agent) run(life, ctx context.Context, w work) {
	states := map[string]*api.TaskState{}
	for _, t := range w.Tasks {
		states[t.Name] = &api.TaskState{State: "pending"}
		note(states[t.Name], api.TaskReceived, "Task received by client", nil)
	}
	a.report(life, w.ID, api.AllocClientStatusPending, "No tasks have started", states)
	for _, t := range w.Tasks {
		st := states[t.Name]
		task, err := a.resolve(w, t)
		if err != nil {
			note(st, api.TaskFailedValidation, err.Error(), nil)
			a.fail(life, w.ID, st, states)
			return
		}
		task.Stdout, task.Stderr = a.log(life, w.ID, t.Name, "stdout"), a.log(life, w.ID, t.Name, "stderr")
		st.State, st.StartedAt = "running", time.Now().UTC()
		note(st, api.TaskStarted, "Task started by client", nil)
		a.report(life, w.ID, api.AllocClientStatusRunning, "Tasks are running", states)

		exit := a.Task(ctx, task)
		stopped := ctx.Err() != nil
		if exit.Err != "" {
			note(st, api.TaskDriverFailure, exit.Err, nil)
		} else {
			text := fmt.Sprintf("Exit Code: %d", exit.Code)
			note(st, api.TaskTerminated, text, map[string]string{"exit_code": fmt.Sprint(exit.Code)})
		}
		if stopped {
			note(st, api.TaskKilled, "Task successfully killed", nil)
		}
		if !stopped && (exit.Err != "" || exit.Code != 0) {
			a.fail(life, w.ID, st, states)
			return
		}
		st.State, st.FinishedAt = "dead", time.Now().UTC()
	}
	a.report(life, w.ID, api.AllocClientStatusComplete, "All tasks have completed", states)
}

func (a *agent) fail(life context.Context, alloc string, st *api.TaskState, all map[string]*api.TaskState) {
	note(st, api.TaskNotRestarting, "Policy allows no restarts", nil)
	st.State, st.Failed, st.FinishedAt = "dead", true, time.Now().UTC()
	for _, other := range all {
		other.State = "dead"
	}
	a.report(life, alloc, api.AllocClientStatusFailed, "Failed tasks", all)
}

func note(st *api.TaskState, kind, text string, details map[string]string) {
	st.Events = append(st.Events, &api.TaskEvent{
		Type: kind, Time: time.Now().UnixNano(), DisplayMessage: text, Details: details,
	})
}

// report tells the server, for as long as it takes: an outcome must not get
// lost. A server that no longer knows the allocation need not hear it.
func (a *agent) report(life context.Context, alloc, status, text string, tasks map[string]*api.TaskState) {
	in := update{Secret: a.Secret, Status: status, Description: text, Tasks: tasks}
	for pause := a.Retry; ; pause = min(2*pause, 16*a.Retry) {
		one, cancel := context.WithTimeout(life, 30*time.Second)
		err := a.call(one, "PUT", "alloc/"+alloc, in, nil)
		cancel()
		if err == nil || errors.Is(err, errGone) {
			return
		}
		a.Log.WarnContext(life, "status not reported, will try again", "host", a.Name, "err", err)
		if !doze(life, pause) {
			return
		}
	}
}

var reference = regexp.MustCompile(`\$\{([^{}]+)\}`)

// resolve builds the task's environment and fills references in. A reference
// that is none, such as the shell's ${VAR:-x}, fails here: a real client parses
// the driver's configuration a second time.
func (a *agent) resolve(w work, t *api.Task) (Task, error) {
	env := map[string]string{
		"NOMAD_ALLOC_ID": w.ID, "NOMAD_ALLOC_NAME": w.Job + "." + w.Group + "[0]", "NOMAD_DC": a.Datacenter,
		"NOMAD_GROUP_NAME": w.Group, "NOMAD_JOB_ID": w.Job, "NOMAD_JOB_NAME": w.Job, "NOMAD_NAMESPACE": w.Namespace,
		"NOMAD_REGION": region, "NOMAD_SHORT_ALLOC_ID": w.ID[:min(8, len(w.ID))], "NOMAD_TASK_NAME": t.Name,
	}
	for _, meta := range []map[string]string{w.Meta, t.Meta} {
		for k, v := range meta {
			env["NOMAD_META_"+k] = v
			env["NOMAD_META_"+strings.ToUpper(k)] = v
		}
	}
	values := maps.Clone(env)
	maps.Copy(values, map[string]string{
		"node.unique.id": a.ID, "node.unique.name": a.Name, "node.datacenter": a.Datacenter,
		"node.region": region, "node.class": a.Class, "node.pool": a.Pool,
	})
	for k, v := range a.Meta {
		values["meta."+k] = v
	}
	fill := func(s string) string {
		return reference.ReplaceAllStringFunc(s, func(ref string) string {
			if v, ok := values[ref[2:len(ref)-1]]; ok {
				return v
			}
			return ref
		})
	}
	for k, v := range t.Env {
		env[k] = fill(v)
	}
	maps.Copy(values, env)
	config := map[string]any{}
	for k, v := range t.Config {
		filled, err := eachString(v, func(s string) (string, error) {
			if _, diags := hclsyntax.ParseTemplate([]byte(s), "config", hcl.InitialPos); diags.HasErrors() {
				return "", errors.New(invalid(diags[0].Summary, diags[0].Detail))
			}
			return fill(s), nil
		})
		if err != nil {
			return Task{}, err
		}
		config[k] = filled
	}
	return Task{
		Alloc: w.ID, Job: w.Job, Namespace: w.Namespace, Group: w.Group, Name: t.Name, Driver: t.Driver,
		Config: config, Env: env,
	}, nil
}

// invalid is how a client puts what is wrong with a driver's configuration.
func invalid(summary, detail string) string {
	return fmt.Sprintf("2 errors occurred:\n\t* failed to parse config: \n\t* %s: %s\n\n", summary, detail)
}

// eachString returns v with f applied to every string in it.
func eachString(v any, f func(string) (string, error)) (any, error) {
	switch v := v.(type) {
	case string:
		return f(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = eachString(v[i], f); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			var err error
			if out[k], err = eachString(v[k], f); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}
