package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/lab"
)

// limit bounds every wait of a scenario: emulated machines on a busy computer
// are slow, and only a hang takes this long.
const limit = 10 * time.Minute

const role = "worker"

// rig is a rack with its appliance for the scenarios of one test.
type rig struct {
	*lab.Rack
	programs lab.Programs
	inputs   *lab.Inputs
	config   string
}

// Among the edits of newRig: withRouter leaves the router in the configuration,
// withCluster takes that of a rack whose machines become the cluster.
const (
	withRouter  = "router"
	withCluster = "cluster"
)

// newRig makes a rack and starts the simulated Nomad in it. The appliance starts
// when the test says so. edit changes the text of examples/lab.yaml, whose router
// is left out unless withRouter is among it, or of examples/rack.yaml, beside which
// no Nomad is started.
func newRig(t *testing.T, edit ...string) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	for _, program := range []string{"qemu-system-x86_64", "ip", "dpkg-deb", "depmod"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: make deps installs it", program)
		}
	}
	programs := lab.Programs(filepath.Join("..", "bin"))
	if _, err := os.Stat(programs.Provision()); err != nil {
		t.Skip("needs bin/provision: make build makes it")
	}
	absolute, err := filepath.Abs(string(programs))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{programs: lab.Programs(absolute)}
	base := filepath.Join("..", "build", "lab")
	name := fmt.Sprintf("e2e%d-%s", os.Getpid(), strings.ToLower(strings.TrimPrefix(t.Name(), "Test")))
	r.Rack, err = lab.Open(base, name[:min(len(name), 31)], slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if r.inputs, err = lab.MakeInputs(ctx, base, r.programs.Sources(), r.Log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		keep := t.Failed()
		if err := r.Down(context.Background(), !keep); err != nil {
			t.Error(err)
		}
		if keep {
			t.Logf("the logs, disks and state are in %s", r.Dir)
		}
	})
	if err := r.Up(ctx); err != nil {
		t.Fatal(err)
	}
	r.config = filepath.Join(r.Dir, "provision.yaml")
	founds, example := slices.Contains(edit, withCluster), "lab.yaml"
	if founds {
		example = "rack.yaml"
	}
	text, err := os.ReadFile(filepath.Join("..", "examples", example))
	if err != nil {
		t.Fatal(err)
	}
	if !founds && !slices.Contains(edit, withRouter) {
		var found bool
		if text, _, found = bytes.Cut(text, []byte("\n# The rack's simulated router")); !found {
			t.Fatal("examples/lab.yaml has no router to leave out")
		}
	}
	edit = slices.DeleteFunc(edit, func(s string) bool { return s == withRouter || s == withCluster })
	if err := os.WriteFile(r.config, text, 0o644); err != nil {
		t.Fatal(err)
	}
	r.rewrite(t, edit...)
	if founds {
		return r
	}
	if err := r.StartNomad(ctx, r.programs); err != nil {
		t.Fatal(err)
	}
	return r
}

// rewrite replaces texts of the configuration, which must be there: old, new, …
func (r *rig) rewrite(t *testing.T, edit ...string) {
	t.Helper()
	text, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(edit); i += 2 {
		if !bytes.Contains(text, []byte(edit[i])) {
			t.Fatalf("the configuration does not hold %q", edit[i])
		}
		text = bytes.ReplaceAll(text, []byte(edit[i]), []byte(edit[i+1]))
	}
	if err := os.WriteFile(r.config, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) startAppliance(t *testing.T) {
	t.Helper()
	if err := r.StartAppliance(t.Context(), r.programs, r.inputs, r.config); err != nil {
		t.Fatal(err)
	}
}

// enroll takes a new machine from power-on to Ready with the real command line.
func (r *rig) enroll(t *testing.T, m lab.Machine) *lab.Journey {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var said bytes.Buffer
	j, err := r.Enroll(ctx, r.programs, m, role, &said, &said)
	if err != nil {
		t.Errorf("%v\n%s\nthe console ends:\n%s", err, said.String(), r.lastWords(m.Name))
		return nil
	}
	var table bytes.Buffer
	if err := j.Print(&table); err != nil {
		t.Error(err)
	}
	t.Logf("%s is Ready:\n%s", m.Name, table.String())
	return j
}

// admit switches a new machine on and admits it, without following it.
func (r *rig) admit(t *testing.T, m lab.Machine) lab.Machine {
	t.Helper()
	m = r.switchOn(t, m)
	r.provision(t, "enroll", m.Name, "--mac", m.MAC.String(), "--role", role, "--no-wait")
	return m
}

// switchOn puts a new machine into the rack and waits until the appliance has seen
// it.
func (r *rig) switchOn(t *testing.T, m lab.Machine) lab.Machine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m, err := r.Add(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.PowerOn(ctx, m.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AwaitSeen(ctx, m.MAC); err != nil {
		t.Fatal(err)
	}
	return m
}

// provision runs the operators' command line, which must succeed, and returns
// its result.
func (r *rig) provision(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out, progress bytes.Buffer
	if err := r.Provision(ctx, r.programs, &out, &progress, args...); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), progress.String())
	}
	return out.String()
}

// await waits until the machine's host is as ok wants it.
func (r *rig) await(t *testing.T, m lab.Machine, what string, ok func(host.Host) bool) host.Host {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	h, err := r.AwaitHost(ctx, m.MAC, what, ok)
	if err != nil {
		t.Fatalf("%v\nfailure: %+v\nthe console ends:\n%s", err, h.Failure, r.lastWords(m.Name))
	}
	return h
}

// awaitState waits for a state, and gives up when the host fails on its way.
func (r *rig) awaitState(t *testing.T, m lab.Machine, want host.State) host.Host {
	t.Helper()
	h := r.await(t, m, string(want), func(h host.Host) bool {
		return h.State == want || h.State == host.Failed
	})
	if h.State != want {
		t.Fatalf("%s is %s (%+v), want %s\nthe console ends:\n%s", m.Name, h.State, h.Failure, want, r.lastWords(m.Name))
	}
	return h
}

// awaitStep waits until the agent is in a step of the install.
func (r *rig) awaitStep(t *testing.T, m lab.Machine, step string) {
	t.Helper()
	h := r.await(t, m, "at step "+step, func(h host.Host) bool {
		return h.State == host.Installing && h.Progress.Step == step || h.State == host.Failed || h.State == host.Installed
	})
	if h.State != host.Installing {
		t.Fatalf("%s is %s (%+v) and not at step %s", m.Name, h.State, h.Failure, step)
	}
}

// events returns the host's whole history.
func (r *rig) events(t *testing.T, m lab.Machine) []host.Event {
	t.Helper()
	events, err := r.Client().Events(t.Context(), query(m))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// grants counts how often the machine has taken a grant: each is one wipe.
func (r *rig) grants(t *testing.T, m lab.Machine) int {
	t.Helper()
	n := 0
	for _, e := range r.events(t, m) {
		if e.Kind == host.KindState && e.To == host.Installing {
			n++
		}
	}
	return n
}

// consoleCount counts what the machine's console has said so far.
func (r *rig) consoleCount(t *testing.T, m lab.Machine, what string) int {
	t.Helper()
	text, err := os.ReadFile(r.ConsoleLog(m.Name))
	if err != nil && !errors.Is(err, os.ErrNotExist) { // QEMU makes it a moment after power-on
		t.Fatal(err)
	}
	return strings.Count(string(text), what)
}

// awaitConsole waits until the console has said something so many times.
func (r *rig) awaitConsole(t *testing.T, m lab.Machine, what string, times int) {
	t.Helper()
	for end := time.Now().Add(limit); r.consoleCount(t, m, what) < times; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s never said %q for the %d. time; its console ends:\n%s", m.Name, what, times, r.lastWords(m.Name))
		}
	}
}

func (r *rig) lastWords(name string) string {
	lines, err := lab.LastLines(r.ConsoleLog(name), 25)
	if err != nil {
		return err.Error()
	}
	return "\t" + strings.Join(lines, "\n\t")
}
