package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"provision.internal/web"
)

// Programs is the folder with what `make build` makes: provision, lab,
// and the stand-ins.
type Programs string

// Provision is the program under test.
func (p Programs) Provision() string { return filepath.Join(string(p), "provision") }

func (p Programs) lab() string { return filepath.Join(string(p), "lab") }

// Sources are the stand-ins, or what the environment names in their place:
// LAB_XBPS, the root of an installed XBPS, and LAB_NOMAD, a Nomad binary.
func (p Programs) Sources() Sources {
	s := Sources{
		XBPS: filepath.Join(string(p), "standin-xbps"), Nomad: filepath.Join(string(p), "standin-nomad"),
		Ansible: filepath.Join(string(p), "standin-ansible"),
	}
	if dir := os.Getenv("LAB_XBPS"); dir != "" {
		s.XBPS = dir
	}
	if file := os.Getenv("LAB_NOMAD"); file != "" {
		s.Nomad = file
	}
	return s
}

// Names of the rack's processes.
const (
	ProcessAppliance = "provision"
	ProcessNomad     = "nomad"
)

const nomadPort = 4646

// Socket is the appliance's unix socket for operators.
func (r *Rack) Socket() string { return r.socket("provision.sock") }

// Client asks the rack's appliance.
func (r *Rack) Client() *web.Client { return &web.Client{Socket: r.Socket()} }

// Serve makes the rack with its inputs, and starts Nomad and the appliance in it.
// Where the configuration founds a cluster, Nomad is on its machines alone. Where it
// has a router, that is racked too, and taken over by the appliance; progress gets
// what the command shows.
func (r *Rack) Serve(ctx context.Context, p Programs, config string, progress io.Writer) error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	in, err := MakeInputs(ctx, filepath.Dir(r.Dir), p.Sources(), r.Log)
	if err != nil {
		return err
	}
	if err := r.Up(ctx); err != nil {
		return err
	}
	has, err := readSections(config)
	if err != nil {
		return err
	}
	if !has.founds() {
		if err := r.StartNomad(ctx, p); err != nil {
			return err
		}
	}
	if r.WithUpstream {
		if err := r.StartUpstream(ctx, p, in); err != nil {
			return err
		}
	}
	if has.routes() {
		if err := r.StartRouter(ctx, p, config); err != nil {
			return err
		}
	}
	if err := r.StartAppliance(ctx, p, in, config); err != nil || !has.routes() {
		return err
	}
	return r.TakeRouterOver(ctx, p, progress)
}

// StartNomad starts the simulated cluster, or a real server when LAB_NOMAD names
// a Nomad binary, and waits until it answers.
func (r *Rack) StartNomad(ctx context.Context, p Programs) error {
	if r.Running(ProcessNomad) {
		return nil
	}
	argv := []string{p.lab(), "nomad", "--listen", fmt.Sprintf("%s:%d", Address, nomadPort)}
	if file := os.Getenv("LAB_NOMAD"); file != "" {
		argv = []string{file, "agent", "-server", "-bootstrap-expect=1", "-bind=" + Address, "-data-dir=" + r.path("nomad")}
	}
	env := []string{"CHECKPOINT_DISABLE=1"} // a real one would look for its newer versions
	if err := r.Start(ProcessNomad, r.Dir, env, r.Inside(argv...)...); err != nil {
		return err
	}
	return r.await(ctx, ProcessNomad, func() error { return listens(r.process(ProcessNomad).pid(), nomadPort) })
}

// StartAppliance starts `provision serve` with a configuration file, whose
// settings of files are replaced by the rack's own, and waits until it is ready. Beside an
// upstream it has no folder of repositories.
func (r *Rack) StartAppliance(ctx context.Context, p Programs, in *Inputs, config string) error {
	if r.Running(ProcessAppliance) {
		return nil
	}
	config, err := filepath.Abs(config)
	if err != nil {
		return err
	}
	if err := r.use(in); err != nil {
		return err
	}
	env := []string{
		"PROVISION_SERVER_STATE=" + r.path("state"),
		"PROVISION_SERVER_SOCKET=" + r.Socket(),
		"PROVISION_IMAGES_KEYS=" + filepath.Join(in.Dir, "keys"),
		"PROVISION_IMAGES_ROOTFS=" + in.Rootfs,
	}
	if r.Running(ProcessRouter) {
		env = append(env, r.routerEnvironment()...)
	}
	if !r.Running(ProcessUpstream) {
		env = append(env, "PROVISION_IMAGES_REPOSITORY="+in.Void())
	}
	if err := r.Start(ProcessAppliance, r.Dir, env, r.Inside(p.Provision(), "serve", "--config", config)...); err != nil {
		return err
	}
	return r.await(ctx, ProcessAppliance, func() error {
		_, err := r.Client().Status(ctx)
		return err
	})
}

// startLimit is how long a server may take to answer: the appliance assembles
// its installer image at its first start.
const startLimit = 3 * time.Minute

// await polls a server that was just started.
func (r *Rack) await(ctx context.Context, name string, answers func() error) error {
	end := time.Now().Add(startLimit)
	for {
		err := answers()
		if err == nil {
			return nil
		}
		if !r.Running(name) {
			lines, _ := LastLines(r.LogFile(name), 10) // without them the file's name still helps
			return fmt.Errorf("%s ended: see %s:\n%s", name, r.LogFile(name), joinLines(lines))
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not answer: %w: see %s", name, err, r.LogFile(name))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// listens reports whether a TCP port is open in the network of a process.
func listens(pid, port int) error {
	want := fmt.Sprintf(":%04X", port)
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			const listening = "0A" // TCP_LISTEN
			f := strings.Fields(line)
			if len(f) > 3 && strings.HasSuffix(f[1], want) && f[3] == listening {
				return nil
			}
		}
	}
	return fmt.Errorf("nothing listens on port %d", port)
}

func joinLines(lines []string) string {
	var s string
	for _, l := range lines {
		s += "  " + l + "\n"
	}
	return s
}
