package tftp_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/tftp"
)

// clients are the TFTP clients that Debian has, as commands that fetch FILE from
// 127.0.0.1 PORT to OUT.
var clients = []struct {
	name, program string
	args          []string
}{
	{"tftp-hpa", "tftp", []string{"-m", "binary", "127.0.0.1", "PORT", "-c", "get", "FILE", "OUT"}},
	{"busybox", "busybox", []string{"tftp", "-g", "-r", "FILE", "-l", "OUT", "127.0.0.1", "PORT"}},
	{"busybox, large blocks", "busybox", []string{"tftp", "-b", "65464", "-g", "-r", "FILE", "-l", "OUT", "127.0.0.1", "PORT"}},
	{"curl", "curl", []string{"-sS", "--path-as-is", "-o", "OUT", "tftp://127.0.0.1:PORT/FILE"}},
	{"curl, large blocks", "curl", []string{"-sS", "--tftp-blksize", "65464", "-o", "OUT", "tftp://127.0.0.1:PORT/FILE"}},
	{"curl, no options", "curl", []string{"-sS", "--tftp-no-options", "-o", "OUT", "tftp://127.0.0.1:PORT/FILE"}},
}

// eachClient runs test with every client that is installed.
func eachClient(t *testing.T, v *served, test func(t *testing.T, get func(file string) ([]byte, string))) {
	_, port, _ := strings.Cut(v.addr.String(), ":")
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(c.program); err != nil {
				t.Skipf("needs %s: make deps installs it", c.program)
			}
			test(t, func(file string) ([]byte, string) {
				out := filepath.Join(t.TempDir(), "out")
				args := make([]string, len(c.args))
				for i, a := range c.args {
					args[i] = strings.NewReplacer("PORT", port, "FILE", file, "OUT", out).Replace(a)
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				// The exit code is no measure: tftp-hpa's is 0 whatever happens.
				said, _ := exec.CommandContext(ctx, c.program, args...).CombinedOutput()
				data, err := os.ReadFile(out)
				if err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				return data, string(said)
			})
		})
	}
}

func TestRealClients(t *testing.T) {
	data := noise(850_001)
	v := serve(t, &tftp.Server{Files: loader(data)})
	eachClient(t, v, func(t *testing.T, get func(string) ([]byte, string)) {
		for _, name := range []string{"snponly.efi", "/snponly.efi"} {
			if got, said := get(name); !bytes.Equal(got, data) {
				t.Errorf("%s: got %d of %d bytes: %s", name, len(got), len(data), said)
			}
		}
		// curl says it by its number for it, 68.
		got, said := get("missing.efi")
		if len(got) != 0 || !strings.Contains(strings.ToLower(said), "not found") && !strings.Contains(said, "(68)") {
			t.Errorf("missing.efi: got %d bytes and %q, want to be told that there is none", len(got), said)
		}
	})
}

func TestRealClientsStayInside(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	secret := []byte("root:$6$secret")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "..", "shadow"), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	v := serve(t, &tftp.Server{Files: dir.FS()})
	eachClient(t, v, func(t *testing.T, get func(string) ([]byte, string)) {
		for _, name := range []string{"../shadow", "/../shadow", "x/../../shadow", `..\shadow`, "%2e%2e/shadow", filepath.Join(root, "../shadow")} {
			if got, _ := get(name); len(got) != 0 {
				t.Errorf("get %s gave %q", name, got)
			}
		}
	})
	if s := v.Stats(); s.Refused == 0 || s.Bytes != 0 {
		t.Errorf("stats %+v, want refusals and not a byte", s)
	}
}

// tftp-hpa's default mode is netascii: a text arrives as it is here.
func TestNetascii(t *testing.T) {
	if _, err := exec.LookPath("tftp"); err != nil {
		t.Skip("needs tftp-hpa's tftp: make deps installs it")
	}
	text := []byte(strings.Repeat("menuentry \"Void\" {\n\tlinux /vmlinuz\r\n}\n", 100))
	v := serve(t, &tftp.Server{Files: loader(text)})
	out := filepath.Join(t.TempDir(), "out")
	_, port, _ := strings.Cut(v.addr.String(), ":")
	said, err := exec.CommandContext(t.Context(), "tftp", "-m", "ascii", "127.0.0.1", port, "-c", "get", "snponly.efi", out).CombinedOutput()
	if err != nil {
		t.Fatalf("tftp: %v: %s", err, said)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, text) {
		t.Errorf("got %d of %d bytes: %v %s", len(got), len(text), err, said)
	}
}
