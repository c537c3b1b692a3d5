package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"provision.internal/router"
	"provision.internal/router/bootstrap"
	"provision.internal/router/commit"
	"provision.internal/router/ports"
	"provision.internal/router/ros"
	"provision.internal/web"
)

// rackRouter is the MikroTik that the rack hangs on, with all that changes it.
type rackRouter struct {
	*commit.Committer
	ports *ports.Ports

	takeover sync.Mutex // one at a time
}

// openRouter makes the parts of cfg.Router, which must be there, and asks the
// router nothing.
func openRouter(cfg Config, log *slog.Logger) (*rackRouter, error) {
	dir := cfg.Server.routerDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the router's folder: %w", err)
	}
	device := &ros.Device{Dialer: cfg.routerDialer(dir)}
	return &rackRouter{
		Committer: &commit.Committer{Device: device, Dir: dir, Config: *cfg.Router, Inputs: cfg.routerInputs, Log: log},
		ports:     &ports.Ports{Device: device, Config: *cfg.Router},
	}, nil
}

// routerDir holds the pin and the records of commits.
func (s Server) routerDir() string { return filepath.Join(s.State, "router") }

// routerDialer makes sessions with what is known of the router at that moment:
// passwords change, and a takeover pins while the daemon runs.
func (c Config) routerDialer(dir string) ros.Dialer {
	return ros.Dialer{
		Address: c.Router.HostPort(), User: c.Router.User, Pin: c.Router.Certificate,
		Refresh: func(d *ros.Dialer) (err error) {
			if d.Pin.IsZero() {
				if d.Pin, err = bootstrap.ReadPin(dir); err != nil {
					return err
				}
			}
			d.Password, err = c.RouterPassword()
			return err
		},
	}
}

// checkRouter logs in as the daemon would.
func checkRouter(ctx context.Context, cfg Config) Finding {
	what := "router " + cfg.Router.HostPort()
	conn, err := cfg.routerDialer(cfg.Server.routerDir()).Dial(ctx)
	if err != nil {
		return bad(what, "correct the router section, or take a new router over with provision router bootstrap; until it answers no port follows its host", "%s", strings.TrimPrefix(err.Error(), what+": "))
	}
	defer conn.Close()
	rows, err := conn.Print(ctx, "/system/resource", []string{"version", "board-name"})
	if err != nil || len(rows) != 1 {
		return bad(what, "look at the router", "it logs us in, and does not say what it is: %v", err)
	}
	return good(what, "is a %s with RouterOS %s", rows[0]["board-name"], rows[0]["version"])
}

// Bootstrap takes the router over from its way in.
func (r *rackRouter) Bootstrap(ctx context.Context, req web.Bootstrap, by string, tell func(commit.Step)) (commit.Commit, error) {
	if !r.takeover.TryLock() {
		return commit.Commit{}, fmt.Errorf("%w: the router is being taken over already", commit.ErrPending)
	}
	defer r.takeover.Unlock()
	t := bootstrap.Takeover{
		Config: r.Config, Inputs: r.Inputs, Dir: r.Dir, Log: r.Log, By: by, Device: r.Device,
		Pin: req.Certificate, Anew: req.Anew, SkipBGP: req.SkipBGP,
		Password: func() (string, error) { return readPassword(r.Config.PasswordFile) },
	}
	if req.Trust {
		t.Trust = func(ros.Pin) error { return nil }
	} else {
		t.Trust = func(shown ros.Pin) error {
			return fmt.Errorf("nobody has vouched for it; when it is what /certificate/print shows on the router, repeat with --certificate %s", shown)
		}
	}
	return t.Run(ctx, tell)
}

// RouterPassword reads the password of router.user.
func (c Config) RouterPassword() (string, error) { return readPassword(c.Router.PasswordFile) }

var errNoPassword = errors.New("router.password_file is empty: write the password of router.user to it")

func readPassword(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("router.password_file: %w", err)
	}
	if info.Mode().Perm()&0o004 != 0 {
		return "", fmt.Errorf("router.password_file: everybody may read %s: chmod 600 it", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("router.password_file: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return "", errNoPassword
	}
	return password, nil
}

// routerInputs is what the router's rows depend on beside its own section.
func (c Config) routerInputs() router.Inputs {
	in := router.Inputs{Appliance: c.Server.Address, HTTPPort: port(c.Server.HTTP)}
	for _, h := range c.Hosts {
		in.Hosts = append(in.Hosts, router.Machine{Name: h.Name, MAC: h.MAC, Address: h.Address})
	}
	return in
}

// RouterScript is the script that a router which is installed anew runs first.
func (c Config) RouterScript() (string, error) {
	password, err := c.RouterPassword()
	if err != nil {
		return "", err
	}
	return bootstrap.Script(*c.Router, c.routerInputs(), password)
}
