package daemon

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"provision.internal/enroll"
	"provision.internal/host"
	"provision.internal/httpboot"
	"provision.internal/installer"
	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
	"provision.internal/store"
)

// A thousand take three quarters of a minute on two processors, and much longer
// under the race detector: go test ./daemon -run Crowd -crowd 1000.
var crowdSize = flag.Int("crowd", 200, "hosts that enrol at once")

// crowd is many installed systems that enrol at once, with the part of an appliance
// that they deal with: the store, the server of the first boot, the reconciler.
type crowd struct {
	t    *testing.T
	dir  string
	sim  *nomadtest.Server
	http *http.Client
	url  atomic.Value // string; of the appliance that runs now
	jobs atomic.Int32 // configuration jobs that ran

	cluster *nomad.Cluster // of the appliance that runs now
}

// newCrowd makes a cluster that lets nobody in who is not introduced.
func newCrowd(t *testing.T, hosts int) *crowd {
	sim := &nomadtest.Server{TTL: time.Minute, Strict: true, LeaderWait: 10 * time.Millisecond}
	sim.Start()
	t.Cleanup(sim.Close)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4 * hosts}}
	t.Cleanup(client.CloseIdleConnections)
	return &crowd{t: t, dir: t.TempDir(), sim: sim, http: client}
}

// start opens the store as a starting appliance does. kill ends everything without a
// word to anybody who is being answered.
func (c *crowd) start() (st *store.Store, kill func()) {
	c.t.Helper()
	silent := slog.New(slog.DiscardHandler)
	st, err := store.Open(filepath.Join(c.dir, "store"), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := testConfig(c.t, minimal)
	cfg.Nomad.Address, cfg.Nomad.Introduction = c.sim.URL, true
	if c.cluster, err = nomad.New(cfg.Nomad, silent); err != nil {
		c.t.Fatal(err)
	}
	authority, err := httpboot.LoadAuthority(filepath.Join(c.dir, "authority"), nil, nil, time.Now)
	if err != nil {
		c.t.Fatal(err)
	}
	boots := &httpboot.Server{Hosts: st, History: st, Authority: authority, Members: &plans{cfg: cfg, cluster: c.cluster}, Now: time.Now, Log: silent}
	server := httptest.NewServer(boots.Secure())
	c.url.Store(server.URL)
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan error, 1)
	r := &enroll.Reconciler{Store: st, Nomad: c.cluster, Grace: time.Nanosecond, Log: silent}
	go func() { done <- r.Run(ctx) }()
	return st, sync.OnceFunc(func() {
		cancel()
		server.CloseClientConnections()
		boots.Release()
		server.Close()
		if err := <-done; err != nil {
			c.t.Error(err)
		}
		if err := st.Close(); err != nil {
			c.t.Error(err)
		}
	})
}

func crowdMAC(n int) host.MAC { return host.MAC{0x52, 0x54, 0, 1, byte(n >> 8), byte(n)} }

// install brings a host to Installed.
func (c *crowd) install(st *store.Store, n int) error {
	now := time.Now()
	for _, to := range []host.State{host.Admitted, host.Installing, host.Installed} {
		_, err := st.Change(crowdMAC(n), "test", "", func(h *host.Host) (err error) {
			h.Name, h.Role = fmt.Sprintf("host%d", n), "worker"
			switch to {
			case host.Admitted:
				h.Grant = &host.Grant{ID: fmt.Sprintf("grant-%06d", n), Made: now, Expires: now.Add(time.Hour)}
			case host.Installing:
				h.Enrolment = &host.Enrolment{Token: host.DigestOf(fmt.Sprint("token", n)), Expires: now.Add(time.Hour)}
				*h, _, err = h.Burn(host.Claim{Secret: "secret"}, now)
				return err
			}
			*h, err = h.Advance(to, now)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// newcomer is what the installed system shows, with a key of its own.
func newcomer(n int) (q installer.Enrol, err error) {
	name := fmt.Sprintf("host%d", n)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return q, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return q, err
	}
	return installer.Enrol{Token: fmt.Sprint("token", n), Host: name, Request: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))}, nil
}

// nodeID is that of the machine n.
func nodeID(n int) string { return fmt.Sprintf("7a780c47-390f-4edb-8dd9-%012d", n) }

// join starts Nomad on the machine n with the files of answer.
func (c *crowd) join(n int, name string, answer installer.Enrolled) (leave func()) {
	client := &nomadtest.Client{
		Name: name, ID: nodeID(n), Secret: fmt.Sprint("secret", n), HTTP: c.http,
		Task: func(context.Context, nomadtest.Task) nomadtest.Exit { c.jobs.Add(1); return nomadtest.Exit{} },
	}
	if answer.Stage == installer.StageQuarantine {
		client.Pool = nomad.DefaultQuarantine
	}
	for _, f := range answer.Files {
		if filepath.Base(f.Path) == "intro_token.jwt" {
			client.Introduction = f.Content
		}
	}
	leave = sync.OnceFunc(c.sim.Join(client))
	c.t.Cleanup(leave)
	return leave
}

// boot is one installed system's way to a member, as its agent goes it.
func (c *crowd) boot(ctx context.Context, n int) error {
	q, err := newcomer(n)
	if err != nil {
		return err
	}
	return c.goOn(ctx, n, q, func() {})
}

// goOn is the rest of that way, for who has q.Stage; leave stops its Nomad.
func (c *crowd) goOn(ctx context.Context, n int, q installer.Enrol, leave func()) error {
	for q.Stage != installer.StageMember {
		answer, err := c.enrol(ctx, q)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%s is still at stage %q: %v", q.Host, q.Stage, err)
		case err != nil:
			time.Sleep(100 * time.Millisecond) // the appliance is away
			continue
		case answer.Stage == q.Stage:
			continue
		}
		leave()
		leave = c.join(n, q.Host, answer)
		q.Stage = answer.Stage
	}
	return nil
}

func (c *crowd) enrol(ctx context.Context, q installer.Enrol) (answer installer.Enrolled, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return answer, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.Load().(string)+installer.EnrolPrefix+installer.EnrolPath, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("status %d: %s (%v)", resp.StatusCode, text, err)
	}
	return answer, json.Unmarshal(text, &answer)
}

// Many hosts enrol at once, and the appliance is killed when a part of them is
// Ready: each of them gets there, each is configured once.
func TestCrowdEnrolsThroughAKill(t *testing.T) {
	hosts := *crowdSize
	c := newCrowd(t, hosts)
	st, kill := c.start()
	t.Cleanup(func() { kill() })
	var all sync.WaitGroup
	for n := range hosts {
		all.Go(func() {
			if err := c.install(st, n); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	began := time.Now()
	for n := range hosts {
		all.Go(func() {
			if err := c.boot(ctx, n); err != nil {
				t.Error(err)
			}
		})
	}
	count := func() map[host.State]int {
		by := map[host.State]int{}
		for _, h := range st.Hosts() {
			by[h.State]++
		}
		return by
	}
	until := func(ready int) {
		for ctx.Err() == nil && count()[host.Ready] < ready {
			time.Sleep(20 * time.Millisecond)
		}
	}
	until(hosts / 4)
	kill()
	st, kill = c.start()
	until(hosts)
	all.Wait()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%d hosts are Ready after %s; %d MiB of memory, with that of the simulated cluster and hosts", hosts, time.Since(began).Round(time.Millisecond), memory.Sys>>20)
	if by := count(); by[host.Ready] != hosts {
		t.Errorf("hosts by state: %v, want %d Ready", by, hosts)
	}
	if n := int(c.jobs.Load()); n != hosts {
		t.Errorf("%d configuration jobs ran, want %d", n, hosts)
	}
}
