package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
)

// asAgent makes the test's binary be the agent.
const asAgent = "STANDIN_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// machine is a folder in the place of a machine's root, with an agent that can be
// killed.
type machine struct {
	t     *testing.T
	root  string
	agent *exec.Cmd
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

// write places a file as first boot does; what it says of /etc/nomad.d and the
// data folder is below the root.
func (m *machine) write(name, text string) {
	m.t.Helper()
	text = strings.NewReplacer(nomad.ConfigDir, m.path(nomad.ConfigDir), nomad.DataDir, m.path(nomad.DataDir)).Replace(text)
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) start() {
	m.t.Helper()
	m.agent = exec.Command(os.Args[0], "agent", "-config", m.path(nomad.ConfigDir))
	m.agent.Env = append(os.Environ(), asAgent+"=1")
	m.agent.Stdout, m.agent.Stderr = m.t.Output(), m.t.Output()
	if err := m.agent.Start(); err != nil {
		m.t.Fatal(err)
	}
	cmd := m.agent
	m.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has usually ended
		_ = cmd.Wait()
	})
}

func (m *machine) stop(how os.Signal) {
	m.t.Helper()
	if err := m.agent.Process.Signal(how); err != nil {
		m.t.Fatal(err)
	}
	_ = m.agent.Wait() // it ends by our signal
}

// certificates makes an authority, and a certificate of a server and of a client.
func (m *machine) certificates() (ca string) {
	m.t.Helper()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootKey := m.key("ca")
	ca = m.sign("ca", root, root, rootKey, rootKey)
	for i, name := range []string{"server", "client"} {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i) + 2), NotBefore: root.NotBefore, NotAfter: root.NotAfter,
			DNSNames: []string{name + ".global.nomad", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		}
		m.sign(name, leaf, root, m.key(name), rootKey)
	}
	return m.path(ca)
}

func (m *machine) key(name string) *ecdsa.PrivateKey {
	m.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(nomad.ConfigDir+"/tls/"+name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return key
}

func (m *machine) sign(name string, c, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (file string) {
	m.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		m.t.Fatal(err)
	}
	file = nomad.ConfigDir + "/tls/" + name + ".pem"
	m.write(file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return file
}

// ports returns two free ones, the second for RPC one above the first.
func freePorts(t *testing.T) (web, rpc int) {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		web = l.Addr().(*net.TCPAddr).Port
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", web+1)); err == nil {
			l.Close()
			return web, web + 1
		}
	}
	t.Fatal("no two free ports in a row")
	return 0, 0
}

// until asks again until f holds.
func until(t *testing.T, what string, f func() error) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %s: %v", what, err)
		}
	}
}

const serverHCL = `
name       = "host1"
data_dir   = "/var/lib/nomad"
bind_addr  = "127.0.0.1"
ports {
  http = %d
  rpc  = %d
  serf = %d
}
server {
  enabled          = true
  bootstrap_expect = 1
  encrypt          = "cg8StVXbQJ0gPvMd9o7yrg=="
  client_introduction {
    enforcement = "strict"
  }
}
acl {
  enabled = true
}
tls {
  http                   = true
  rpc                    = true
  verify_server_hostname = true
  ca_file                = "/etc/nomad.d/tls/ca.pem"
  cert_file              = "/etc/nomad.d/tls/server.pem"
  key_file               = "/etc/nomad.d/tls/server.key"
}
`

// A server host's life: a server alone, ACLs, a client in quarantine, in its own
// pool, a job; and a loss of power after which all of it is still there.
func TestServer(t *testing.T) {
	m := &machine{t: t, root: t.TempDir()}
	ca := m.certificates()
	web, rpc := freePorts(t)
	m.write(nomad.ConfigDir+"/server.hcl", fmt.Sprintf(serverHCL, web, rpc, rpc+1))
	m.start()

	const secret = "11111111-2222-3333-4444-555555555555"
	c, err := api.NewClient(&api.Config{Address: fmt.Sprintf("https://127.0.0.1:%d", web), TLSConfig: &api.TLSConfig{CACert: ca}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	leader := func() error { _, err := c.Status().Leader(); return err }
	until(t, "a leader", leader)
	if _, _, err := c.ACLTokens().BootstrapOpts(secret, nil); err != nil {
		t.Fatal(err)
	}
	c.SetSecretID(secret)
	members, err := c.Agent().Members()
	if err != nil || len(members.Members) != 1 || members.Members[0].Name != "host1.global" {
		t.Errorf("members %+v, %v, want host1.global", members, err)
	}
	if _, err := c.NodePools().Register(&api.NodePool{Name: "quarantine"}, nil); err != nil {
		t.Fatal(err)
	}

	cfg := nomad.Config{CA: ca, Servers: []string{fmt.Sprintf("127.0.0.1:%d", rpc)}}
	client := func(pool string) {
		t.Helper()
		var out struct{ JWT string }
		in := map[string]string{"NodeName": "host1", "NodePool": pool}
		if _, err := c.Raw().Write("/v1/acl/identity/client-introduction-token", in, &out, nil); err != nil {
			t.Fatal(err)
		}
		files, err := cfg.ClientConfig(nomad.Client{
			Name: "host1", Pool: pool, Token: out.JWT, Certificate: nomad.ConfigDir + "/tls/client.pem", Key: nomad.ConfigDir + "/tls/client.key",
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Path != nomad.ClusterCA {
				m.write(f.Path, f.Content)
			}
		}
	}
	node := func(pool string) (id string) {
		t.Helper()
		until(t, "host1 is ready in "+pool, func() error {
			list, _, err := c.Nodes().List(nil)
			if err != nil {
				return err
			}
			if len(list) == 1 && list[0].Status == "ready" && list[0].NodePool == pool {
				id = list[0].ID
				return nil
			}
			return fmt.Errorf("%d nodes", len(list))
		})
		return id
	}
	client("quarantine")
	m.stop(syscall.SIGTERM)
	m.start()
	first := node("quarantine")
	client("metal")
	m.stop(syscall.SIGTERM)
	m.start()
	if again := node("metal"); again != first {
		t.Errorf("in its own pool the node is %s, was %s", again, first)
	}

	job, err := nomadtest.Parse(strings.Replace(fmt.Sprintf(script, 0), `type = "sysbatch"`, "type = \"sysbatch\"\nnode_pool = \"all\"", 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Jobs().Register(job, nil); err != nil {
		t.Fatal(err)
	}
	complete := func() error {
		list, _, err := c.Jobs().Allocations("x", false, nil)
		if err == nil && (len(list) != 1 || list[0].ClientStatus != "complete") {
			return fmt.Errorf("%d allocations", len(list))
		}
		return err
	}
	until(t, "the job is complete", complete)

	m.stop(syscall.SIGKILL)
	m.start()
	until(t, "a leader", leader)
	if err := complete(); err != nil {
		t.Errorf("after a loss of power: %v, want the job complete", err)
	}
	if again := node("metal"); again != first {
		t.Errorf("after a loss of power the node is %s, was %s", again, first)
	}
	if got, want := output(t, c), "it's \"quoted\" $HOME on host1 in ${meta.rack}\n"; got != want {
		t.Errorf("after a loss of power the log is %q, want %q", got, want)
	}
	if _, _, err := c.ACLTokens().BootstrapOpts(secret, nil); err == nil || !strings.Contains(err.Error(), "ACL bootstrap already done") {
		t.Errorf("a second bootstrap: %v, want a refusal", err)
	}
}

// output returns what the job x has written.
func output(t *testing.T, c *api.Client) string {
	t.Helper()
	list, _, err := c.Jobs().Allocations("x", false, nil)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d allocations, %v", len(list), err)
	}
	r, err := c.Raw().Response("/v1/client/fs/logs/"+list[0].ID+"?task=t&type=stdout&plain=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A client without a certificate of the cluster's authority gets nowhere.
func TestServerRefusesStrangers(t *testing.T) {
	m := &machine{t: t, root: t.TempDir()}
	ca := m.certificates()
	web, rpc := freePorts(t)
	m.write(nomad.ConfigDir+"/server.hcl", fmt.Sprintf(serverHCL, web, rpc, rpc+1))
	m.start()
	c, err := api.NewClient(&api.Config{Address: fmt.Sprintf("https://127.0.0.1:%d", web), TLSConfig: &api.TLSConfig{CACert: ca}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	until(t, "a leader", func() error { _, err := c.Status().Leader(); return err })
	_, err = c.Raw().Write(nomadtest.SimPath+"node", map[string]string{"ID": "x", "Secret": "y", "Name": "z"}, nil, (&api.WriteOptions{}).WithContext(context.Background()))
	if err == nil || !strings.Contains(err.Error(), "no certificate of the cluster's authority") {
		t.Errorf("a registration without a certificate: %v, want a refusal", err)
	}
}
