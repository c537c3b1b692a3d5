package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"provision.internal/cluster"
	"provision.internal/installer"
	"provision.internal/nomad"
)

// nodeZero makes the control node itself a server of the cluster that is founded,
// and then a client.
type nodeZero struct {
	founder *cluster.Founder
	cluster *nomad.Cluster
	cfg     Config
	machine *cluster.NodeZero
	log     *slog.Logger

	mu      sync.Mutex
	trouble error
}

// zeroRetry is the pause after a fault, which a person may have to mend.
const zeroRetry = 30 * time.Second

// run sets the machine up whenever the cluster has got further, until ctx ends.
func (z *nodeZero) run(ctx context.Context) error {
	for {
		changed := z.founder.Changed()
		var again <-chan time.Time
		if z.founder.Asked() {
			err := z.setUp(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if z.tell(err); err != nil {
				z.log.Warn("the control node is no server yet", "err", err)
				again = time.After(zeroRetry)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again:
		}
	}
}

func (z *nodeZero) tell(err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.trouble = err
}

// waits is why the control node is not set up; empty when it is, or soon will be.
func (z *nodeZero) waits() string {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.trouble == nil {
		return ""
	}
	return fmt.Sprintf("the control node's own Nomad: %v", z.trouble)
}

func (z *nodeZero) setUp(ctx context.Context) error {
	name := z.cfg.Server.Name
	files, err := z.founder.ServerFiles(name)
	if err != nil {
		return err
	}
	key, err := z.machine.Key(installer.HostKey)
	if err != nil {
		return err
	}
	certificate, err := z.machine.Certify(z.founder, name, installer.HostCertificate, key)
	if err != nil {
		return err
	}
	files = append(files, certificate)
	if z.founder.Founded() {
		client, err := z.client(ctx)
		if err != nil {
			return err
		}
		files = append(files, client...)
	}
	changed, err := z.machine.Setup(ctx, files)
	if changed {
		z.log.Info("the control node's Nomad was set up and started", "client", z.founder.Founded())
		z.founder.Wake()
	}
	return err
}

// client is the client half, which comes with an introduction token when it is
// set up.
func (z *nodeZero) client(ctx context.Context) ([]nomad.File, error) {
	c := nomad.Client{
		Name: z.cfg.Server.Name, Pool: cluster.ServerPool, Network: z.cfg.island(z.cfg.Server.Address),
		Certificate: installer.HostCertificate, Key: installer.HostKey,
	}
	placed, err := z.machine.Placed(nomad.ConfigDir + "/client.hcl")
	if err != nil {
		return nil, err
	}
	if placed {
		return z.cfg.Nomad.ClientConfig(c)
	}
	if err := z.machine.Identify(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTime)
	defer cancel()
	return z.cluster.Enrol(ctx, c, "")
}
