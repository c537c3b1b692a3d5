package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/nomad"
)

// TestContract founds one cluster on the simulator and, with NOMAD_BIN=FILE, real
// ones of one and of three servers from the files made for them: with a gossip
// key, ACLs and TLS, on loopback addresses of their own.
func TestContract(t *testing.T) {
	t.Run("simulated", func(t *testing.T) {
		r := newRig(t, declared())
		r.site.Job = paramJob
		contract(t, r.open(t), func() {})
	})
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprintf("real, %d servers", servers), func(t *testing.T) {
			bin := os.Getenv("NOMAD_BIN")
			if bin == "" {
				t.Skip("NOMAD_BIN names no Nomad binary to compare with")
			}
			site := realSite(t, servers)
			f, err := Open(site)
			if err != nil {
				t.Fatal(err)
			}
			contract(t, f, func() {
				for _, s := range site.Servers {
					startServer(t, bin, f, s)
				}
			})
			again, err := Open(site)
			if err != nil {
				t.Fatal(err)
			}
			contract(t, again, func() {})
			founded(t, again, site)
		})
	}
}

// contract founds, and founds again.
func contract(t *testing.T, f *Founder, start func()) {
	t.Helper()
	ctx := within(t)
	if err := f.Ask(ctx, "operator"); err != nil {
		t.Fatal(err)
	}
	start()
	if err := f.Run(ctx); err != nil || ctx.Err() != nil || !f.Founded() {
		t.Fatalf("Run: %v, founded %v: %s", err, f.Founded(), f.Waits())
	}
	p, err := f.Plan(ctx)
	if err != nil || !p.Empty() {
		t.Errorf("a second plan: %s %v", p.Text(false), err)
	}
	if got := tokens(t, f); len(got) != 1 {
		t.Errorf("tokens %q, want one", got)
	}
	st, err := f.Status(ctx)
	if err != nil || st.State != StateFounded || st.Trouble != "" || st.Leader == "" {
		t.Errorf("status %+v, %v", st, err)
	}
	// The job is compared by the cluster: a change of it is seen.
	job := f.site.Job
	f.site.Job = strings.Replace(job, "/bin/true", "/bin/false", 1)
	if p, err := f.Plan(ctx); err != nil || len(p.Changes) != 1 || p.Changes[0].Action != ActionChange {
		t.Errorf("the plan of a changed job: %s %v", p.Text(false), err)
	}
	f.site.Job = job
}

// founded looks at what only real servers have.
func founded(t *testing.T, f *Founder, site Site) {
	t.Helper()
	st, err := f.Status(within(t))
	if err != nil || len(st.Servers) != len(site.Servers) || len(st.Missing) > 0 {
		t.Errorf("status %+v, %v: want all %d servers", st, err, len(site.Servers))
	}
	leaders := 0
	for _, m := range st.Servers {
		if m.Leader {
			leaders++
		}
		if m.Version == "" || m.Status != "alive" {
			t.Errorf("member %+v", m)
		}
	}
	if leaders != 1 {
		t.Errorf("%d leaders, want one: %+v", leaders, st.Servers)
	}
	files, err := f.ServerFiles(site.Servers[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	if has := strings.Contains(files[1].Content, "client_introduction"); has != introduces(f.known().Version) {
		t.Errorf("servers of version %s want introduction: %v", f.known().Version, has)
	}
	// What the appliance's least privilege is for.
	c, err := nomad.Connect(site.Nomad, f.Access(), site.Log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ping(within(t)); err != nil {
		t.Errorf("with the appliance's token: %v", err)
	}
	token, err := c.Introduce(within(t), "node9", "quarantine", time.Minute)
	if err != nil || (token != "") != introduces(f.known().Version) {
		t.Errorf("an introduction: %v; a token: %v", err, token != "")
	}
	// Somebody else's appliance is told so, and does no harm.
	other := site
	other.Secrets = newVault()
	stranger, err := Open(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stranger.Ask(within(t), "operator"), stranger.found(within(t))); !errors.Is(err, ErrForeign) {
		t.Errorf("another appliance: %v, want ErrForeign", err)
	}
	other.Secrets, other.Authority = site.Secrets, testAuthority(t)
	if stranger, err = Open(other); err != nil {
		t.Fatal(err)
	}
	if err := stranger.leader(within(t)); !errors.Is(err, nomad.ErrAuthority) {
		t.Errorf("with another authority: %v, want ErrAuthority", err)
	}
}

// realSite describes servers on loopback addresses that differ: each has Nomad's
// own ports.
func realSite(t *testing.T, servers int) Site {
	s := Site{Config: declared(), Authority: testAuthority(t), Secrets: newVault(), Job: paramJob,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	block := byte(100 + os.Getpid()%100) // runs side by side do not meet
	for i := range servers {
		name := fmt.Sprintf("node%d", i+1)
		s.Config.Servers = append(s.Config.Servers, name)
		dir := t.TempDir()
		s.Servers = append(s.Servers, Server{
			Name: name, Address: netip.AddrFrom4([4]byte{127, block, byte(servers), byte(i + 1)}),
			Certificate: filepath.Join(dir, "host.pem"), Key: filepath.Join(dir, "host.key"),
		})
	}
	s.Nomad = s.Config.Derive(s.Nomad, s.Servers, "")
	return s
}

// startServer runs a real server from its files until the test ends.
func startServer(t *testing.T, bin string, f *Founder, s Server) {
	t.Helper()
	root := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := f.Certify(s.Name, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	files, err := f.ServerFiles(s.Name)
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(s.Certificate, string(certificate))
	put(s.Key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	config := filepath.Join(root, nomad.ConfigDir)
	for _, file := range files {
		text := strings.NewReplacer(nomad.ConfigDir, config, nomad.DataDir, filepath.Join(root, nomad.DataDir)).Replace(file.Content)
		put(filepath.Join(root, file.Path), text)
	}
	put(filepath.Join(config, "test.hcl"), fmt.Sprintf("bind_addr = %q\n", s.Address))
	cmd := exec.Command(bin, "agent", "-config", config)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it ends by our signal
	})
}
