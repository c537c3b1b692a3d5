package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
)

const (
	patience     = 10 * time.Minute // of waiting for an appliance that does not answer
	installLimit = 3 * time.Hour    // a whole install; the appliance's own deadline is shorter
	flushLimit   = 2 * time.Minute  // for the last lines, before the end is told
)

// Agent speaks with the appliance for one machine, from hello to the end of its
// install. All fields must be set but those that may be nil.
type Agent struct {
	System   *System
	Client   *Client
	Log      *Log
	Version  string
	MAC      host.MAC            // of the NIC that the machine booted from
	Userland *installer.Userland // nil: the initrd has the tools
	Self     string              // path of the agent's own binary
	First    *host.Inventory     // for the first hello, gathered before; nil: not yet

	// Time sets the clock from the appliance, for when no certificate is valid by
	// this machine's own. nil: it is as it should be.
	Time func(context.Context) error

	reporting bool
	last      lastWords
}

// lastWords is what another process needs to speak for an agent that died.
type lastWords struct {
	mu      sync.Mutex
	Session string `json:"session"`
	Step    string `json:"step"`
}

// lastWordsFile is in memory only, like everything in /run.
const lastWordsFile = "/run/provision/agent.json"

// errReported is wrapped by the end of an install that the appliance knows of.
var errReported = errors.New("the appliance knows")

// Install says hello, does what it is told, and tells how it ended. nil means
// that the machine may reboot; the error is for the console.
func (a *Agent) Install(ctx context.Context) error {
	began := time.Now()
	secret := rand.Text()
	quiet := func() {} // ends the reports
	defer func() { quiet() }()
	for {
		inv := a.inventory()
		welcome, err := a.hello(ctx, secret, inv)
		if err != nil {
			return err
		}
		if welcome.Action == installer.ActionReboot {
			a.Log.Say("the appliance says: boot from the disk: %s", welcome.Reason)
			return nil
		}
		if welcome.Action == installer.ActionWait {
			a.Log.Say("the appliance says: wait: %s", welcome.Reason)
			if err := a.await(ctx, inv.Disks, time.Duration(min(max(welcome.RetryAfter, 1), 60))*time.Second); err != nil {
				return err
			}
			continue
		}
		if welcome.Action != installer.ActionInstall {
			return a.failed(ctx, "hello", fmt.Errorf("the appliance asks for %q, which this agent (%s) does not know: use the image that belongs to it", welcome.Action, a.Version))
		}
		a.Log.Say("this is %s; installing to the disk %s", welcome.Host, welcome.Disk)
		if !a.reporting {
			a.reporting, quiet = true, a.startReports(ctx)
		}
		plan, again, err := a.prepare(ctx, secret, inv, welcome)
		if again {
			continue
		}
		if err == nil {
			err = a.carryOut(ctx, plan)
		}
		quiet() // after the last word there is no report
		if err != nil {
			var at *StepError
			if !errors.As(err, &at) {
				at = &StepError{Step: "grant", Err: err}
			}
			return a.failed(ctx, at.Step, at.Err)
		}
		return a.finished(ctx, time.Since(began))
	}
}

// inventory describes the machine as it is now.
func (a *Agent) inventory() host.Inventory {
	if first := a.First; first != nil {
		a.First = nil
		return *first
	}
	return a.System.inventory(a.MAC)
}

// await waits as the appliance has asked, but not when there is news for it:
// a disk that its driver shows late may be the one that was missed.
func (a *Agent) await(ctx context.Context, told []host.Disk, pause time.Duration) error {
	const look = time.Second
	for ; pause > 0; pause -= look {
		if err := a.System.Wait(ctx, min(look, pause)); err != nil || !slices.Equal(told, a.System.disks(a.MAC)) {
			return err
		}
	}
	return nil
}

// post sends one request, repeating it while the appliance is away.
func (a *Agent) post(ctx context.Context, path string, question, answer any) error {
	return a.System.retry(ctx, patience, time.Second, 20*time.Second, func() error {
		err := a.Client.Post(ctx, installer.AgentPrefix+path, question, answer)
		if a.Time != nil && clockIsOff(err) {
			if err := a.Time(ctx); err != nil {
				return err
			}
			err = a.Client.Post(ctx, installer.AgentPrefix+path, question, answer)
		}
		return err
	}, func(err error, pause time.Duration) {
		a.Log.Say("%v; once more in %s", err, pause)
	})
}

func (a *Agent) hello(ctx context.Context, secret string, inv host.Inventory) (installer.Welcome, error) {
	var w installer.Welcome
	err := a.post(ctx, installer.HelloPath, installer.Hello{MAC: a.MAC, Secret: secret, Version: a.Version, Inventory: inv}, &w)
	if err != nil {
		return w, fmt.Errorf("say hello: %w", err)
	}
	a.Client.SetSession(w.Session)
	a.last.mu.Lock()
	a.last.Session = w.Session
	a.last.mu.Unlock()
	a.mark("hello")
	return w, a.System.correctClock(a.Log, a.Client.Date())
}

// mark keeps the step where the supervisor finds it. A fault here costs a word
// in a message, not an install.
func (a *Agent) mark(step string) {
	a.last.mu.Lock()
	defer a.last.mu.Unlock()
	a.last.Step = step
	b, err := json.Marshal(&a.last)
	if err == nil {
		err = writeFile(a.System.path(lastWordsFile), 0o600, b)
	}
	if err != nil {
		a.Log.Detail("remember the step: " + err.Error())
	}
}

// startReports sends what is said and done to the appliance. What it returns
// ends that, once everything was sent or flushLimit has passed.
func (a *Agent) startReports(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	r := newReporter(func(ctx context.Context, report installer.Report) error {
		return a.Client.Post(ctx, installer.AgentPrefix+installer.ReportPath, report, nil)
	}, a.System.Wait)
	a.Log.Attach(r.line, r.step)
	var running sync.WaitGroup
	running.Go(func() { r.run(ctx) })
	return func() {
		last, stop := context.WithTimeout(ctx, flushLimit)
		defer stop()
		r.flush(last)
		cancel()
		running.Wait()
	}
}

// prepare does what can fail without harm, then takes the grant. again means
// that hello must be said once more: the hardware or the host's state is not
// what the welcome was made for.
func (a *Agent) prepare(ctx context.Context, secret string, inv host.Inventory, w installer.Welcome) (plan installer.Plan, again bool, err error) {
	var settling sync.WaitGroup
	settling.Go(func() { a.System.settle(ctx, time.Second/2) }) // its end is ctx's, which everything below has
	a.System.mountFirmware(a.Log)
	err = a.tools(ctx)
	settling.Wait()
	if err != nil {
		return plan, false, &StepError{"tools", err}
	}
	// A disk that shows up late may be the one that the role means, or make its
	// choice ambiguous: the appliance must choose again.
	if !slices.Equal(inv.Disks, a.System.disks(a.MAC)) {
		a.Log.Say("the disks are not those of a moment ago; asking again")
		return plan, true, nil
	}
	disks, err := a.System.findDisks(w.Disk, a.MAC)
	var names []string
	for _, d := range disks {
		names = append(names, d.Name)
	}
	if why := a.System.inUse(names...); why != "" {
		err = fmt.Errorf("the disk %s is in use: %s", w.Disk, why)
	}
	if err != nil {
		return plan, false, &StepError{"disk", err}
	}
	a.mark("grant")
	err = a.post(ctx, installer.GrantPath, installer.TakeGrant{Secret: secret, UUID: inv.UUID, Disk: w.Disk}, &plan)
	if changed(err) {
		a.Log.Say("%v; asking again", err)
		return plan, true, a.System.Wait(ctx, time.Second)
	}
	if names := planned(plan); err == nil && names != w.Disk {
		err = fmt.Errorf("the plan is for the disk %q, but the grant was asked for %q", names, w.Disk)
	}
	return plan, false, err
}

// planned names the plan's disks as a grant does.
func planned(plan installer.Plan) string {
	var ids []string
	for _, d := range plan.Disks {
		ids = append(ids, d.Serial)
	}
	return strings.Join(ids, ",")
}

// tools gets the programs that the install runs.
func (a *Agent) tools(ctx context.Context) error {
	if a.Userland == nil {
		return nil
	}
	a.mark("tools")
	a.Log.Progress(host.Progress{Step: "tools", Text: "fetch the installer's tools"})
	err := a.System.fetchUserland(ctx, *a.Userland, func(err error, pause time.Duration) {
		a.Log.Say("tools: %v; once more in %s", err, pause)
	})
	if err == nil {
		a.Userland = nil
	}
	return err
}

// carryOut installs. A panic is an error like any other: it must be reported.
func (a *Agent) carryOut(ctx context.Context, plan installer.Plan) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, installLimit, fmt.Errorf("not done within %s", installLimit))
	defer cancel()
	in := &install{sys: a.System, log: a.Log, plan: plan, uefi: a.System.uefi(), self: a.Self, mark: a.mark}
	defer func() {
		if p := recover(); p != nil {
			a.last.mu.Lock()
			step := a.last.Step
			a.last.mu.Unlock()
			err = &StepError{step, fmt.Errorf("the agent has a fault, please report it: %v", p)}
		}
	}()
	return in.run(ctx)
}

func (a *Agent) finished(ctx context.Context, took time.Duration) error {
	err := a.post(ctx, installer.FinishedPath, installer.Finished{Seconds: took.Seconds()}, nil)
	if err != nil {
		// The disk is bootable all the same, and the grant is burned: no second wipe.
		return fmt.Errorf("installed, but the appliance was not told: %w", err)
	}
	a.Log.Say("installed in %.0f s", took.Seconds())
	return nil
}

// longestReason keeps a report readable.
const longestReason = 4000

// failed tells that the install is given up.
func (a *Agent) failed(ctx context.Context, step string, cause error) error {
	reason := cause.Error()
	if len(reason) > longestReason {
		reason = reason[:longestReason] + "…"
	}
	err := a.post(ctx, installer.FailedPath, installer.Failed{Step: step, Reason: reason}, nil)
	if err != nil {
		return errors.Join(&StepError{step, cause}, fmt.Errorf("tell the appliance: %w", err))
	}
	return &StepError{step, fmt.Errorf("%w (%w)", cause, errReported)}
}
