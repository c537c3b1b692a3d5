package nomad

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// realBinary is the Nomad to compare the simulator with.
func realBinary(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("NOMAD_BIN")
	if bin == "" {
		t.Skip("NOMAD_BIN names no Nomad binary to compare with")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: a real client makes cgroups and mounts")
	}
	return bin
}

// real is a real server of one's own.
type real struct {
	bin, url, rpc string
}

// realServer starts one on loopback ports. more goes into its configuration.
func realServer(t *testing.T, bin, more string) real {
	t.Helper()
	http, rpc, serf := port(t), port(t), port(t)
	scheme := "http"
	if strings.Contains(more, "tls {") {
		scheme = "https"
	}
	realAgent(t, bin, fmt.Sprintf(`
name                 = "server1"
data_dir             = %q
bind_addr            = "127.0.0.1"
disable_update_check = true
server {
  enabled          = true
  bootstrap_expect = 1
}
ports {
  http = %d
  rpc  = %d
  serf = %d
}
%s%s`, t.TempDir(), http, rpc, serf, advertise, more))
	return real{bin, fmt.Sprintf("%s://127.0.0.1:%d", scheme, http), fmt.Sprintf("127.0.0.1:%d", rpc)}
}

// join starts a real client from the files that the appliance makes for it.
func (r real) join(t *testing.T, files []File) {
	t.Helper()
	root := t.TempDir()
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
	more := fmt.Sprintf("bind_addr = \"127.0.0.1\"\nports {\n http = %d\n}\n", port(t))
	realAgent(t, r.bin, more+advertise, filepath.Join(root, ConfigDir))
}

// advertise says that loopback is meant: an agent would not tell it to others by
// itself.
const advertise = `
advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}
`

// realAgent runs an agent until the test ends, in a mount namespace of its own:
// what its allocations mount goes with it.
func realAgent(t *testing.T, bin, text string, more ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.hcl")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "agent", "-config", file)
	for _, m := range more {
		cmd.Args = append(cmd.Args, "-config", m)
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // tasks inherit it, and clouds' settings would change its start
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // it ends by our signal
	})
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
