package cluster

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/nomad/nomadtest"
)

// vault keeps secrets in memory, and loses power when its count comes to zero.
type vault struct {
	mu   sync.Mutex
	kept map[string][]byte
	left int // seals until it fails; negative: never
}

var errCut = errors.New("the power went")

func newVault() *vault { return &vault{kept: map[string][]byte{}, left: -1} }

func (v *vault) Seal(name string, secret []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.left == 0 {
		return errCut
	}
	v.left--
	v.kept[name] = bytes.Clone(secret)
	return nil
}

func (v *vault) Unseal(name string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	b, ok := v.kept[name]
	if !ok {
		return nil, fmt.Errorf("secret %s: %w", name, host.ErrUnknown)
	}
	return bytes.Clone(b), nil
}

// rig is a simulated cluster over TLS and what founds it.
type rig struct {
	sim  *nomadtest.Server
	site Site
	log  *bytes.Buffer
}

const proxyRules = `namespace "*" {
  policy = "read"
}`

const paramJob = `job "ansible" {
  type        = "sysbatch"
  datacenters = ["*"]
  parameterized {
    payload       = "forbidden"
    meta_required = ["COMMIT", "ANSIBLE_PLAYBOOK"]
  }
  group "ansible" {
    task "ansible" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
    }
  }
}`

// newRig starts a simulated server that needs bootstrapping. members are those that
// it knows of, only itself when there are none.
func newRig(t *testing.T, config Config, members ...nomadtest.Member) *rig {
	t.Helper()
	authority := testAuthority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{log: new(bytes.Buffer)}
	config.Servers = []string{"node1"}
	r.site = Site{
		Config: config, Authority: authority, Secrets: newVault(),
		Servers: []Server{{Name: "node1", Address: netip.MustParseAddr("127.0.0.1"), Certificate: "/etc/host.pem", Key: "/etc/host.key"}},
		Log:     slog.New(slog.NewTextHandler(&locked{w: r.log}, nil)),
	}
	f, err := Open(r.site)
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.Certify("node1", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	r.sim = &nomadtest.Server{ACL: true, Members: members, LeaderWait: 10 * time.Millisecond, TLS: &tls.Config{Certificates: []tls.Certificate{{
		Certificate: [][]byte{parse(t, text).Raw}, PrivateKey: key,
	}}}}
	r.sim.Start()
	t.Cleanup(r.sim.Close)
	return r
}

// locked is a writer for several goroutines.
type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// open is a fresh start of the appliance, whose addresses lead to the simulator.
func (r *rig) open(t *testing.T) *Founder {
	t.Helper()
	f, err := openAt(r.site, r.sim.URL)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// openAt is Open for servers on ports of their own.
func openAt(s Site, urls ...string) (*Founder, error) {
	f, err := Open(s)
	if err != nil {
		return nil, err
	}
	f.access.Addresses = urls
	return f, f.connect()
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// canceled is a context that has ended.
func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// tokens lists the appliance's tokens in the cluster.
func tokens(t *testing.T, f *Founder) (names []string) {
	t.Helper()
	all, _, err := f.manage.ACLTokens().List(query(within(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Type == "client" {
			names = append(names, s.Name)
		}
	}
	return names
}

func declared() Config {
	return Config{
		Anonymous: AnonymousRead,
		Policies:  []Policy{{Name: "proxy-read", Rules: "\n" + proxyRules + "\n", Job: &Job{ID: "proxy"}}},
		Pools:     []Pool{{Name: "gpu", Description: "with graphics cards"}},
	}
}
