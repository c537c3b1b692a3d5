package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"

	"provision.internal/host"
	"provision.internal/nomad"
)

// What callers branch on.
var (
	// ErrForeign: somebody else has founded the cluster, or set this machine up.
	ErrForeign = errors.New("was not made by provision")
	// ErrNotAsked: founding waits for the operator's word.
	ErrNotAsked = errors.New("the cluster is not founded: run provision cluster init")
	// ErrAdopted: an adopted cluster is not founded.
	ErrAdopted = errors.New("cluster.servers is empty: the cluster of the section nomad is used as it is")
)

// Secrets keeps secrets durably. Unseal wraps host.ErrUnknown for one that was
// never sealed.
type Secrets interface {
	Seal(name string, secret []byte) error
	Unseal(name string) ([]byte, error)
}

// What is sealed.
const (
	recordSecret    = "cluster/record"
	gossipSecret    = "cluster/gossip"
	bootstrapSecret = "cluster/bootstrap"
	tokenSecret     = "cluster/token"
)

// Site is all that a Founder needs. Everything but Job and Now must be set;
// Authority and Servers where the configuration founds a cluster.
type Site struct {
	Config    Config
	Nomad     nomad.Config // as Config.Derive returns it
	Servers   []Server
	Authority Authority
	Secrets   Secrets
	Job       string // the parameterised job in HCL; none when empty
	Log       *slog.Logger
	Now       func() time.Time // time.Now when nil
}

func (s Site) region() string    { return cmp.Or(s.Nomad.Region, nomad.DefaultRegion) }
func (s Site) namespace() string { return cmp.Or(s.Nomad.Namespace, nomad.DefaultNamespace) }

func (s Site) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// record is what is remembered of the founding.
type record struct {
	ID      string    `json:"id"` // makes the appliance's token ours among others of its kind
	Asked   time.Time `json:"asked"`
	By      string    `json:"by"`
	Founded time.Time `json:"founded,omitzero"`
	Version string    `json:"version,omitempty"` // of the oldest server, when founded
	Made    []string  `json:"made,omitempty"`    // policies and pools that were made here, as KIND/NAME
}

// Founder founds one cluster and keeps its policies, pools and job. Its methods
// may be called from any goroutine.
type Founder struct {
	site   Site
	access nomad.Access
	open   *api.Client // without a token
	mine   *api.Client // with the appliance's own
	manage *api.Client // with the management token
	wake   chan struct{}
	apply  sync.Mutex // one change of the cluster at a time

	mu      sync.Mutex
	record  record
	waits   string
	changed chan struct{}
}

// Open reads what is known of the founding. It does not talk to the cluster.
func Open(s Site) (*Founder, error) {
	f := &Founder{site: s, wake: make(chan struct{}, 1), changed: make(chan struct{})}
	b, err := s.Secrets.Unseal(recordSecret)
	if err == nil {
		err = json.Unmarshal(b, &f.record)
	}
	if err != nil && !errors.Is(err, host.ErrUnknown) {
		return nil, fmt.Errorf("read the record of the cluster's founding: %w", err)
	}
	if f.access, err = f.makeAccess(); err != nil {
		return nil, err
	}
	return f, f.connect()
}

// connect makes the clients, each with its own token.
func (f *Founder) connect() error {
	for _, c := range []struct {
		to    **api.Client
		token func() (string, error)
	}{{&f.open, nil}, {&f.mine, f.Token}, {&f.manage, f.managementToken}} {
		access := f.access
		access.Token = c.token
		var err error
		if *c.to, err = access.Client(f.site.region(), f.site.namespace()); err != nil {
			return err
		}
	}
	return nil
}

func (f *Founder) makeAccess() (nomad.Access, error) {
	s := f.site
	if !s.Config.Founds() {
		return s.Nomad.Access()
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.Authority.PEM()) {
		return nomad.Access{}, errors.New("the cluster's authority holds no certificate")
	}
	mine := &own{site: s}
	return nomad.Access{Addresses: addresses(s.Servers), Token: f.Token, TLS: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: "server." + s.region() + ".nomad",
		GetClientCertificate: mine.get,
	}}, nil
}

// Access is how the appliance reaches the cluster, with its own token.
func (f *Founder) Access() nomad.Access { return f.access }

// Token returns the appliance's own token, or ErrNotAsked wrapped while there is none.
func (f *Founder) Token() (string, error) {
	if !f.site.Config.Founds() {
		if f.access.Token == nil {
			return "", nil
		}
		return f.access.Token()
	}
	token, err := f.unseal(tokenSecret)
	if errors.Is(err, host.ErrUnknown) && f.Asked() {
		return "", fmt.Errorf("the cluster is being founded: %s", f.Waits())
	}
	return token, err
}

// managementToken returns the token for policies and pools.
func (f *Founder) managementToken() (string, error) {
	if file := f.site.Config.ManagementTokenFile; file != "" {
		return nomad.TokenFile(file)()
	}
	if !f.site.Config.Founds() {
		return "", errors.New("policies and pools of an adopted cluster need a management token: name its file in cluster.management_token_file")
	}
	return f.BootstrapSecret()
}

// BootstrapSecret returns the management token of the founding. It is for the
// eyes of an operator who asks for it, and for nothing else.
func (f *Founder) BootstrapSecret() (string, error) { return f.unseal(bootstrapSecret) }

func (f *Founder) unseal(name string) (string, error) {
	b, err := f.site.Secrets.Unseal(name)
	if errors.Is(err, host.ErrUnknown) {
		return "", fmt.Errorf("%w (%w)", ErrNotAsked, err)
	}
	return string(b), err
}

// Authority signs the certificates of the cluster's members.
func (f *Founder) Authority() Authority { return f.site.Authority }

// Asked reports whether the operator has asked for the founding.
func (f *Founder) Asked() bool { return !f.known().Asked.IsZero() }

// Founded reports whether the cluster has its leader, its ACLs and the
// appliance's token. An adopted cluster has them.
func (f *Founder) Founded() bool { return !f.site.Config.Founds() || !f.known().Founded.IsZero() }

// Waits says what the founding waits for; empty when for nothing.
func (f *Founder) Waits() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.site.Config.Founds() && f.record.Asked.IsZero() {
		return ErrNotAsked.Error()
	}
	return f.waits
}

// Changed is closed at the next change of anything that the methods above tell.
func (f *Founder) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// Wake makes Run look at once, as when a server has come up.
func (f *Founder) Wake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *Founder) known() record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.record
}

// Server reports whether the host called name is one of the cluster's servers.
func (f *Founder) Server(name string) bool {
	_, ok := f.server(name)
	return ok
}

func (f *Founder) server(name string) (Server, bool) {
	i := slices.IndexFunc(f.site.Servers, func(s Server) bool { return s.Name == name })
	if i < 0 {
		return Server{}, false
	}
	return f.site.Servers[i], true
}

// remember seals the record as change leaves it.
func (f *Founder) remember(change func(*record)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.record
	next.Made = slices.Clone(next.Made)
	change(&next)
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := f.site.Secrets.Seal(recordSecret, b); err != nil {
		return fmt.Errorf("keep the record of the cluster's founding: %w", err)
	}
	f.record = next
	f.tell()
	return nil
}

// tell wakes whoever waits for a change. It is called with the lock held.
func (f *Founder) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait notes what is waited for, and reports whether that is new.
func (f *Founder) wait(text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waits == text {
		return false
	}
	f.waits = text
	f.tell()
	return true
}

// Ask is the operator's word that the cluster be founded. It makes and seals
// what does not exist yet, so that it may be given again.
func (f *Founder) Ask(_ context.Context, by string) error {
	if !f.site.Config.Founds() {
		return ErrAdopted
	}
	f.apply.Lock()
	defer f.apply.Unlock()
	gossip := make([]byte, 32) // AES-256's, as Nomad wants it
	rand.Read(gossip)
	for _, s := range []struct{ name, fresh string }{
		{gossipSecret, base64.StdEncoding.EncodeToString(gossip)},
		{bootstrapSecret, newUUID()},
	} {
		_, err := f.site.Secrets.Unseal(s.name)
		if errors.Is(err, host.ErrUnknown) {
			err = f.site.Secrets.Seal(s.name, []byte(s.fresh))
		}
		if err != nil {
			return fmt.Errorf("keep the cluster's secrets: %w", err)
		}
	}
	if f.Asked() {
		return nil
	}
	err := f.remember(func(r *record) { r.ID, r.Asked, r.By = newUUID(), f.site.now(), by })
	if err == nil {
		f.wait("the servers have no leader yet")
		f.Wake()
	}
	return err
}
