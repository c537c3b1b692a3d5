package nomad

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"provision.internal/nomad/nomadtest"
)

// peer is a cluster to talk to: the simulated one or a real one.
type peer struct {
	cfg Config
	// join lets a machine with the files that were made for it take part, until
	// the test ends or it is lost, as by a loss of power.
	join func(t *testing.T, h Client, files []File) (lose func())
	// restart starts the Nomad of the machine that joined last anew, with new files
	// beside what is on its disk.
	restart func(t *testing.T, h Client, files []File)
}

// onBoth runs the same test against the simulated cluster and, with
// NOMAD_BIN=FILE, against a real one: what the simulator answers is what a real
// one answers. A secured one has tokens, TLS where it is real, and lets no client
// in that was not introduced.
func onBoth(t *testing.T, secured bool, test func(*testing.T, peer)) {
	t.Run("simulated", func(t *testing.T) { test(t, simulated(t, secured)) })
	t.Run("real", func(t *testing.T) {
		bin := os.Getenv("NOMAD_BIN")
		if bin == "" {
			t.Skip("NOMAD_BIN names no Nomad binary to compare with")
		}
		if os.Geteuid() != 0 {
			t.Skip("needs root: a real client makes cgroups and mounts")
		}
		test(t, real(t, bin, secured))
	})
}

func simulated(t *testing.T, secured bool) peer {
	s := serve(t, &nomadtest.Server{Beat: time.Second, ACL: secured, Strict: secured})
	cfg := testConfig(s)
	if secured {
		c, err := New(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		cfg.TokenFile, cfg.Introduction = file(t, "token", bootstrap(t, c)), true
	}
	var last *nomadtest.Client
	var leave func()
	start := func(t *testing.T, h Client, files []File, c *nomadtest.Client) {
		c.Name, c.Pool, c.Task = h.Name, cfg.poolOf(h), nomadtest.RawExec{Dir: t.TempDir()}.Run
		for _, f := range files {
			switch f.Path {
			case introToken:
				c.Introduction = f.Content
			case nodeID:
				c.ID = f.Content
			}
		}
		last, leave = c, s.Join(c)
		t.Cleanup(leave)
	}
	join := func(t *testing.T, h Client, files []File) func() {
		start(t, h, files, new(nomadtest.Client))
		leave := leave
		return func() {
			leave()
			s.Lose(h.Name)
		}
	}
	return peer{cfg, join, func(t *testing.T, h Client, files []File) {
		leave()
		start(t, h, files, &nomadtest.Client{ID: last.ID, Secret: last.Secret})
	}}
}

// real starts a server of one's own on loopback ports.
func real(t *testing.T, bin string, secured bool) peer {
	t.Helper()
	ports := map[string]int{"http": port(t), "rpc": port(t), "serf": port(t)}
	cfg := Config{Address: fmt.Sprintf("http://127.0.0.1:%d", ports["http"]), Servers: []string{fmt.Sprintf("127.0.0.1:%d", ports["rpc"])}}
	var keys *authorities
	server, more := "", ""
	if secured {
		keys = newAuthorities(t)
		more, cfg = keys.secure(cfg)
		if introduces(t, bin) {
			server = "client_introduction {\n enforcement = \"strict\"\n}"
		}
	}
	agent(t, bin, fmt.Sprintf(`
name                 = "server1"
data_dir             = %q
disable_update_check = true
server {
  enabled           = true
  bootstrap_expect  = 1
  min_heartbeat_ttl = "2s"
  heartbeat_grace   = "3s"
  %s
}
ports {
  http = %d
  rpc  = %d
  serf = %d
}
%s`, t.TempDir(), server, ports["http"], ports["rpc"], ports["serf"], more))
	c, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	for ctx := within(t); ; {
		_, err := c.Ping(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if secured {
		cfg.TokenFile, cfg.Introduction = file(t, "token", bootstrap(t, c)), true
	}
	var disk string
	var kill func()
	start := func(t *testing.T, h Client, files []File) func() {
		t.Helper()
		root := disk
		if secured {
			files = append(files, keys.host(h)...)
		}
		for _, f := range files {
			name := filepath.Join(root, f.Path)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer(ConfigDir, filepath.Join(root, ConfigDir), DataDir, filepath.Join(root, DataDir)).Replace(f.Content)
			if err := os.WriteFile(name, []byte(text), f.Mode); err != nil {
				t.Fatal(err)
			}
		}
		kill = agent(t, bin, fmt.Sprintf("ports {\n http = %d\n}\n", port(t)), filepath.Join(root, ConfigDir))
		return kill
	}
	join := func(t *testing.T, h Client, files []File) func() {
		t.Helper()
		disk = t.TempDir()
		return start(t, h, files)
	}
	return peer{cfg, join, func(t *testing.T, h Client, files []File) {
		t.Helper()
		kill()
		start(t, h, files)
	}}
}

// agent runs a real agent until the test ends or kill is called. It has name
// spaces of its own: what it mounts and starts goes with it.
func agent(t *testing.T, bin, text string, more ...string) (kill func()) {
	t.Helper()
	text += `
bind_addr = "127.0.0.1"
advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}
`
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
		bin, "agent", "-config", file(t, "agent.hcl", text))
	for _, m := range more {
		cmd.Args = append(cmd.Args, "-config", m)
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // tasks inherit it
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it ends by our signal
	})
	t.Cleanup(kill)
	return kill
}

// introduces reports whether this Nomad knows introduction tokens: 1.11 and later.
func introduces(t *testing.T, bin string) bool {
	t.Helper()
	out, err := exec.Command(bin, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(out), "Nomad v%d.%d.", &major, &minor); err != nil {
		t.Fatalf("%s version says %q: %v", bin, out, err)
	}
	return major > 1 || minor >= 11
}

// nodeID is where the first boot leaves the node's ID.
const nodeID = DataDir + "/client/client-id"

// policy is all that the appliance's token needs.
const policy = `
namespace "default" {
  capabilities = ["list-jobs", "parse-job", "read-job", "submit-job", "read-logs"]
}
node {
  policy = "write"
}
`

// root is the secret that the first token of each secured cluster is given.
const root = "5c3c9bd9-67c2-4b53-a1b5-7b2f35c2a1aa"

// bootstrap makes the ACLs of a new cluster, and a token with the policy.
func bootstrap(t *testing.T, c *Cluster) (token string) {
	t.Helper()
	if _, _, err := c.api.ACLTokens().BootstrapOpts(root, write(within(t))); err != nil {
		t.Fatal(err)
	}
	as := write(within(t))
	as.AuthToken = root
	if _, err := c.api.ACLPolicies().Upsert(&api.ACLPolicy{Name: "provision", Rules: policy}, as); err != nil {
		t.Fatal(err)
	}
	made, _, err := c.api.ACLTokens().Create(&api.ACLToken{Name: "provision", Type: "client", Policies: []string{"provision"}}, as)
	if err != nil {
		t.Fatal(err)
	}
	return made.SecretID
}

// write makes a file of the test's own.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// port returns a free one.
func port(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
