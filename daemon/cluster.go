package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"provision.internal/cluster"
	"provision.internal/host"
	"provision.internal/httpboot"
	"provision.internal/installer"
	"provision.internal/nomad"
	"provision.internal/store"
)

// theCluster is the cluster that hosts come into, with all that changes it.
type theCluster struct {
	*cluster.Founder
	store  *store.Store
	zero   *nodeZero // nil where the control node is no server
	ours   bool      // it is founded here
	access nomad.Access
}

// declaresCluster reports whether there is more to keep than the section nomad
// says.
func (c Config) declaresCluster() bool {
	return c.Cluster.Founds() || len(c.Cluster.Policies) > 0 || len(c.Cluster.Pools) > 0 || c.Cluster.ManagementTokenFile != ""
}

// openCluster makes the parts of the cluster, and asks it nothing. It is nil
// where the cluster of the section nomad is used as it is.
func openCluster(cfg Config, st *store.Store, own cluster.Authority, log *slog.Logger) (*theCluster, error) {
	if !cfg.declaresCluster() {
		return nil, nil
	}
	secrets, err := st.Vault(filepath.Join(cfg.Server.authorityDir(), "seal.key"))
	if err != nil {
		return nil, err
	}
	site := cluster.Site{
		Config: cfg.Cluster, Nomad: cfg.Nomad, Servers: cfg.servers(), Authority: own, Secrets: secrets, Log: log,
	}
	if a := cfg.Cluster.Authority; a != (cluster.Files{}) {
		if site.Authority, err = cluster.OpenAuthority(a.Certificate, a.Key, time.Now); err != nil {
			return nil, fmt.Errorf("cluster.authority: %w", err)
		}
	}
	if site.Config.Founds() {
		if site.Job, err = cfg.Config.Parameterized(); err != nil {
			return nil, err
		}
	}
	founder, err := cluster.Open(site)
	if err != nil {
		return nil, err
	}
	t := &theCluster{Founder: founder, store: st, ours: cfg.Cluster.Founds(), access: founder.Access()}
	if founder.Server(cfg.Server.Name) {
		t.zero = &nodeZero{founder: founder, cfg: cfg, machine: &cluster.NodeZero{}, log: log}
	}
	return t, nil
}

// servers are the machines of cluster.servers whose addresses are known.
func (c Config) servers() (all []cluster.Server) {
	for _, name := range c.Cluster.Servers {
		if a, ok := c.addressOf(name); ok && a.IsValid() {
			all = append(all, cluster.Server{
				Name: name, Address: a, Datacenter: c.datacenterOf(name),
				Certificate: installer.HostCertificate, Key: installer.HostKey,
			})
		}
	}
	return all
}

// addressOf returns the address of a host, or of the appliance, by its name.
func (c Config) addressOf(name string) (netip.Addr, bool) {
	if name == c.Server.Name {
		return c.Server.Address, true
	}
	for _, h := range c.Hosts {
		if h.Name == name {
			return h.Address, true
		}
	}
	return netip.Addr{}, false
}

func (c Config) datacenterOf(name string) string {
	for _, h := range c.Hosts {
		if h.Name == name {
			return c.Roles[h.Role].Nomad.Datacenter
		}
	}
	return ""
}

func (s Server) authorityDir() string { return filepath.Join(s.State, "authority") }

// deriveCluster completes the section nomad by what the section cluster says.
func (c *Config) deriveCluster() {
	ca := c.Cluster.Authority.Certificate
	if ca == "" {
		ca = filepath.Join(c.Server.authorityDir(), "ca.pem") // made at the daemon's first start
	}
	c.Nomad = c.Cluster.Derive(c.Nomad, c.servers(), ca)
}

// validateCluster checks the two sections that the cluster is described by.
func (c Config) validateCluster(fs *Faults) {
	fs.take(c.Cluster.Validate("cluster", c.addressOf))
	if !c.Cluster.Founds() {
		fs.take(c.Nomad.Validate("nomad"))
		return
	}
	derived := c.Nomad
	derived.CA = "" // the appliance may have yet to make it
	if len(c.servers()) == 0 {
		return // which is told already, and nothing could be derived
	}
	fs.take(derived.Validate("nomad"))
}

// connect makes the client of the cluster.
func (t *theCluster) connect(cfg nomad.Config, log *slog.Logger) (*nomad.Cluster, error) {
	if t == nil || !t.ours {
		return nomad.New(cfg, log)
	}
	return nomad.Connect(cfg, t.access, log)
}

// members is t as enrolling hosts depend on it: nil where they have a cluster
// already.
func (t *theCluster) members() founder {
	if t == nil || !t.ours {
		return nil
	}
	return t
}

// Issuer signs the certificates of all members.
func (t *theCluster) Issuer() httpboot.Issuer { return t.Authority() }

// founded returns nil when the cluster is.
func (t *theCluster) founded(ctx context.Context) error {
	for {
		changed := t.Changed()
		if t.Founded() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Ask is the operator's word that the cluster be founded, kept as an event.
func (t *theCluster) Ask(ctx context.Context, by string) error {
	before := t.Asked()
	if err := t.Founder.Ask(ctx, by); err != nil || before {
		return err
	}
	return t.store.Record(host.Event{Kind: host.KindNotice, Actor: by, Cause: "the cluster is to be founded"})
}

// Reveal returns the management token, when it is on the disk that by saw it.
func (t *theCluster) Reveal(by string) (string, error) {
	if !t.ours {
		return "", fmt.Errorf("there is no token to show: %w", cluster.ErrAdopted)
	}
	token, err := t.BootstrapSecret()
	if err != nil {
		return "", err
	}
	return token, t.store.Record(host.Event{Kind: host.KindNotice, Actor: by, Cause: "the cluster's management token was shown"})
}

// Waits is why the control node is not set up, or what the founding waits for.
func (t *theCluster) Waits() string {
	if t.zero != nil {
		if waits := t.zero.waits(); waits != "" {
			return waits
		}
	}
	return t.Founder.Waits()
}

// Status is the founder's, with what node zero waits for.
func (t *theCluster) Status(ctx context.Context) (cluster.Status, error) {
	st, err := t.Founder.Status(ctx)
	st.Waits = t.Waits()
	return st, err
}

// resolveCluster makes file names of the section cluster absolute.
func (c *Config) resolveCluster(base string) {
	s := &c.Cluster
	for _, f := range []*string{&s.Authority.Certificate, &s.Authority.Key, &s.ManagementTokenFile} {
		*f = absolute(base, *f)
	}
	for i := range s.Policies {
		s.Policies[i].RulesFile = absolute(base, s.Policies[i].RulesFile)
	}
}
