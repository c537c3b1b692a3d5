package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"provision.internal/router/routertest"
)

// ProcessRouter is the rack's process that stands in for its MikroTik.
const ProcessRouter = "router"

// Where the router is: on the way in that its first script makes, and where the
// configuration puts it. examples/lab.yaml has the same.
const (
	RouterAddress     = "10.77.0.254"
	bootstrapRouter   = "10.78.0.1"
	bootstrapAddress  = "10.78.0.2"    // of the appliance
	routerPort        = 8729           // api-ssl
	routerPassword    = "virtual rack" // of a router that is a program, in a network without a way out
	lookAtBridgeEvery = 250 * time.Millisecond
)

// StartRouter racks a simulated router whose first script has run, and from then
// on lets frames cross only as its configuration says. Nothing does before the
// appliance has taken it over.
func (r *Rack) StartRouter(ctx context.Context, p Programs, config string) error {
	if r.Running(ProcessRouter) {
		return nil
	}
	if err := os.WriteFile(r.routerPasswordFile(), []byte(routerPassword+"\n"), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.Provision(), "router", "bootstrap", "script", "--config", config)
	cmd.Env = append(cmd.Environ(), r.routerEnvironment()...)
	script, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("provision router bootstrap script: %w: %s", err, exit.Stderr)
		}
		return err
	}
	if err := os.WriteFile(r.routerScript(), script, 0o600); err != nil {
		return err
	}
	if err := r.ip(ctx, "addr add "+bootstrapAddress+subnet+" dev "+bridge); err != nil {
		return err
	}
	inside, err := r.AddNeighbour(ctx, ProcessRouter, RouterAddress)
	if err != nil {
		return err
	}
	if err := run(ctx, "ip", "-n", r.namespace()+"."+ProcessRouter, "addr", "add", bootstrapRouter+subnet, "dev", "eth0"); err != nil {
		return err
	}
	argv := inside(p.lab(), "--dir", filepath.Dir(r.Dir), "--name", r.Name, "router")
	if err := r.Start(ProcessRouter, r.Dir, nil, argv...); err != nil {
		return err
	}
	return r.await(ctx, ProcessRouter, func() error { return listens(r.process(ProcessRouter).pid(), routerPort) })
}

// TakeRouterOver has the appliance bring the router from its first script to the
// configuration.
func (r *Rack) TakeRouterOver(ctx context.Context, p Programs, progress io.Writer) error {
	// Nobody else is on the rack's wires.
	return r.Provision(ctx, p, progress, progress, "router", "bootstrap", "--trust")
}

func (r *Rack) routerPasswordFile() string { return r.path("router.password") }
func (r *Rack) routerScript() string       { return r.path("router.rsc") }

// routerEnvironment tells the appliance's programs what differs from rack to
// rack.
func (r *Rack) routerEnvironment() []string {
	return []string{"PROVISION_ROUTER_PASSWORD_FILE=" + r.routerPasswordFile()}
}

// RunRouter is the router itself, until ctx ends. It must run in the network
// that StartRouter has made for it.
func (r *Rack) RunRouter(ctx context.Context, out io.Writer) error {
	script, err := os.ReadFile(r.routerScript())
	if err != nil {
		return err
	}
	router := routertest.New(routertest.Config{
		Ethernets: firstPort - 1 + hostPorts, NoCertificate: true,
	})
	defer router.Close()
	if err := router.RunScript(string(script)); err != nil {
		return fmt.Errorf("the router's first script: %w", err)
	}
	for _, address := range []string{RouterAddress, bootstrapRouter} {
		if _, err := router.ListenFor(net.JoinHostPort(address, strconv.Itoa(routerPort)), address); err != nil {
			return err
		}
	}
	changed := make(chan struct{}, 1)
	router.OnChange(func(string) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	bridge := &bridging{rack: r, router: router, out: out, known: map[string]string{}}
	look := time.NewTicker(lookAtBridgeEvery)
	defer look.Stop()
	for {
		if err := bridge.follow(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-look.C:
		}
	}
}

// bridging keeps the kernel's bridge and the simulated router alike: the router
// hears of machines from the bridge, the bridge of VLANs from the router.
type bridging struct {
	rack   *Rack
	router *routertest.Router
	out    io.Writer
	rules  string            // in force
	known  map[string]string // port of each machine that the router was told of
}

func (b *bridging) follow(ctx context.Context) error {
	cables, err := readCables(b.rack.cablesDir())
	if err != nil {
		return err
	}
	if rules := readFiltering(b.router.Rows, cables).rules(); rules != b.rules {
		if err := b.rack.enforce(ctx, rules); err != nil {
			return err
		}
		b.rules = rules
		fmt.Fprintf(b.out, "%s VLANs in force:\n%s", time.Now().UTC().Format(time.RFC3339Nano), rules)
	}
	machines, err := b.rack.readBridge(ctx)
	if err != nil {
		return err
	}
	heard := map[string]bool{}
	for _, m := range machines {
		port, ok := cables[m.Device]
		if !ok {
			continue
		}
		heard[m.MAC] = true
		if b.known[m.MAC] != port {
			b.router.LearnHost(m.MAC, port, 0)
			b.known[m.MAC] = port
		}
	}
	for mac := range b.known {
		if !heard[mac] {
			b.router.ForgetHost(mac)
			delete(b.known, mac)
		}
	}
	return nil
}
