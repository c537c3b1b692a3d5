package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/cluster"
	"provision.internal/host"
	"provision.internal/installer"
	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
	"provision.internal/store"
)

// control is a control node whose own Nomad is simulated.
type control struct {
	*testing.T
	cfg    Config
	root   string // of its file system
	store  *store.Store
	sim    *nomadtest.Server
	log    syncBuffer
	starts chan struct{} // of Nomad
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newControl(t *testing.T) *control {
	c := &control{T: t, root: t.TempDir(), starts: make(chan struct{}, 10)}
	c.cfg = Default()
	c.cfg.Server.State = t.TempDir()
	c.cfg.Server.Name, c.cfg.Server.Address = "core", netip.MustParseAddr("127.77.46.46")
	c.cfg.Cluster = cluster.Config{Servers: []string{"core"}, Policies: []cluster.Policy{{Name: "proxy", Rules: `namespace "default" { policy = "read" }`}}}
	c.cfg.deriveCluster()
	if err := os.MkdirAll(filepath.Join(c.root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.store, err = store.Open(filepath.Join(c.cfg.Server.State, "store"), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// command stands in for systemctl: a restart begins with the files that are there.
func (c *control) command(_ context.Context, _ string, args ...string) error {
	if args[0] != "restart" {
		return nil
	}
	if c.sim == nil {
		pair, err := tls.LoadX509KeyPair(filepath.Join(c.root, installer.HostCertificate), filepath.Join(c.root, installer.HostKey))
		if err != nil {
			return err
		}
		c.sim = &nomadtest.Server{ACL: true, TLS: &tls.Config{Certificates: []tls.Certificate{pair}}}
		c.sim.Start()
		c.Cleanup(c.sim.Close)
		u, err := url.Parse(c.sim.URL)
		if err != nil {
			return err
		}
		if err := forward(c.T, c.cfg.Server.Address.String()+":4646", u.Host); err != nil {
			return err
		}
	}
	c.starts <- struct{}{}
	return nil
}

// forward has address lead to peer until the test ends.
func forward(t *testing.T, address, peer string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", peer)
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(out, in)
					_ = out.Close()
				}()
				_, _ = io.Copy(in, out)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return nil
}

// run makes the appliance's part of the cluster and runs it until stop.
func (c *control) run() (t *theCluster, stop func()) {
	c.Helper()
	log := slog.New(slog.NewTextHandler(io.MultiWriter(&c.log, c.Output()), nil))
	own, err := loadAuthority(c.cfg.Server)
	if err != nil {
		c.Fatal(err)
	}
	if t, err = openCluster(c.cfg, c.store, own, log); err != nil {
		c.Fatal(err)
	}
	if t.zero.cluster, err = t.connect(c.cfg.Nomad, log); err != nil {
		c.Fatal(err)
	}
	t.zero.machine = &cluster.NodeZero{Root: c.root, Command: c.command}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{t.Run, t.zero.run} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				c.Errorf("a part ended with %v", err)
			}
		})
	}
	return t, func() {
		cancel()
		parts.Wait()
	}
}

func (c *control) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(c.root, name)) // empty when it is not there
	return string(b)
}

// The control node becomes the cluster on an operator's word, and not before: a
// server first, a client when the cluster is founded. A second start of the
// appliance changes nothing.
func TestNodeZeroIsFounded(t *testing.T) {
	c := newControl(t)
	zero, stop := c.run()
	if _, err := zero.Reveal("operator:eve"); !errors.Is(err, cluster.ErrNotAsked) {
		t.Errorf("the token before the founding: %v", err)
	}
	if got := c.read(nomad.ConfigDir + "/server.hcl"); got != "" || zero.Asked() {
		t.Errorf("before the word there is a configuration: %q", got)
	}
	if err := zero.Ask(t.Context(), "operator:ann"); err != nil {
		t.Fatal(err)
	}
	<-c.starts
	if got := c.read(nomad.ConfigDir+"/server.hcl") + c.read(nomad.ConfigDir+"/client.hcl"); !strings.Contains(got, "bootstrap_expect") || strings.Contains(got, "node_pool") {
		t.Errorf("the server begins with %s", got)
	}
	if err := zero.founded(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-c.starts
	if got := c.read(nomad.ConfigDir + "/client.hcl"); !strings.Contains(got, `"`+cluster.ServerPool+`"`) {
		t.Errorf("the client half: %s", got)
	}
	if c.read(nomad.DataDir+"/client/intro_token.jwt") == "" || len(c.read(nomad.DataDir+"/client/client-id")) != 36 {
		t.Error("the client has no introduction token or identity")
	}
	for plan := (cluster.Plan{Changes: make([]cluster.Change, 1)}); !plan.Empty(); time.Sleep(10 * time.Millisecond) {
		var err error
		if plan, err = zero.Plan(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	token, err := zero.Reveal("operator:ann")
	if err != nil || len(token) != 36 {
		t.Fatalf("the token: %d characters, %v", len(token), err)
	}
	stop()

	again, stop := c.run()
	if err := again.Ask(t.Context(), "operator:bob"); err != nil {
		t.Fatal(err)
	}
	if st, err := again.Status(t.Context()); err != nil || st.State != cluster.StateFounded || st.By != "operator:ann" || st.Trouble != "" {
		t.Errorf("after a restart the status is %+v, %v", st, err)
	}
	stop()
	if len(c.starts) > 0 {
		t.Error("a second start of the appliance has started Nomad again")
	}
	c.tells(token)
}

// tells holds what is written about the founding to what it may say.
func (c *control) tells(token string) {
	c.Helper()
	events, err := c.store.Events(host.MAC{}, 0, 1000)
	if err != nil {
		c.Fatal(err)
	}
	var told []string
	for _, e := range events {
		told = append(told, e.Actor+": "+e.Cause)
	}
	text := strings.Join(told, "\n")
	if want := "operator:ann: the cluster is to be founded\noperator:ann: the cluster's management token was shown"; text != want {
		c.Errorf("the events are\n%s\nwant\n%s", text, want)
	}
	if strings.Contains(text+c.log.String(), token) {
		c.Error("the token is in events or logs")
	}
}

// Somebody's own Nomad stays, and the status says what to do about it.
func TestNodeZeroBesideForeignNomad(t *testing.T) {
	c := newControl(t)
	foreign := filepath.Join(c.root, nomad.ConfigDir, "nomad.hcl")
	if err := os.MkdirAll(filepath.Dir(foreign), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(foreign, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	zero, stop := c.run()
	defer stop()
	if err := zero.Ask(t.Context(), "operator:ann"); err != nil {
		t.Fatal(err)
	}
	for zero.zero.waits() == "" {
		time.Sleep(10 * time.Millisecond)
	}
	if st, err := zero.Status(t.Context()); err != nil || !strings.Contains(st.Waits, "/etc/nomad.d/nomad.hcl was not made by provision: move it away") {
		t.Errorf("the status is %+v, %v", st, err)
	}
	if got := c.read(nomad.ConfigDir + "/nomad.hcl"); got != "mine" {
		t.Errorf("somebody's file holds %q", got)
	}
}
