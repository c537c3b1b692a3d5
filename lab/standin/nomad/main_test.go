package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"provision.internal/nomad"
	"provision.internal/nomad/nomadtest"
)

// install writes what an enrolled host gets, below a folder of the test.
func install(t *testing.T, s *nomadtest.Server, h nomad.Client) (dir string) {
	t.Helper()
	dir = t.TempDir()
	name, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	files, err := nomad.Config{Servers: []string{net.JoinHostPort(name, strconv.Itoa(n+1))}}.ClientConfig(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		content := strings.ReplaceAll(f.Content, nomad.DataDir, filepath.Join(dir, nomad.DataDir))
		if err := os.WriteFile(path, []byte(content), f.Mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// boot runs the agent until the returned function is called.
func boot(t *testing.T, dir string) (off func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		done <- run(ctx, []string{"agent", "-config", filepath.Join(dir, nomad.ConfigDir)}, t.Output(), log)
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("agent: %v", err)
		}
	}
}

func connect(t *testing.T, s *nomadtest.Server, job string) *nomad.Cluster {
	t.Helper()
	file := filepath.Join(t.TempDir(), "job.hcl")
	if err := os.WriteFile(file, []byte(job), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := nomad.New(nomad.Config{Address: s.URL, Job: file}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return c
}

const script = `job "x" {
  type = "sysbatch"
  meta { greeting = "it's \"quoted\" $HOME" }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "printf '%%s on %%s in %%s\n' \"$NOMAD_META_greeting\" '${node.unique.name}' '${meta.rack}'; exit %d"]
      }
    }
  }
}`

// The configuration that the appliance writes makes the agent join with its
// token, run a real process, and come back from a reboot as the same node.
func TestAgent(t *testing.T) {
	s := &nomadtest.Server{Strict: true}
	s.Start()
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	c := connect(t, s, fmt.Sprintf(script, 0))
	token, err := c.Introduce(ctx, "host1", "metal", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	dir := install(t, s, nomad.Client{Name: "host1", Pool: "metal", Token: token, Meta: map[string]string{"rack": "r1"}})
	off := boot(t, dir)
	before, err := c.WaitNode(ctx, "host1", "raw_exec")
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.RunJob(ctx, nomad.Job{Host: "host1", Attempt: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if last, want := nomad.Last(got.Logs), `it's "quoted" $HOME on host1 in r1`; last != want {
		t.Errorf("the task wrote %q, want %q", last, want)
	}
	off()
	s.Lose("host1")
	off = boot(t, dir)
	defer off()
	after, err := connect(t, s, fmt.Sprintf(script, 0)).WaitNode(ctx, "host1")
	if err != nil {
		t.Fatal(err)
	}
	if after.ID != before.ID || after.Pool != "metal" {
		t.Errorf("after a reboot the node is %s in pool %q, want %s in metal", after.ID, after.Pool, before.ID)
	}
}

func TestExitCode(t *testing.T) {
	s := nomadtest.NewServer()
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	t.Cleanup(boot(t, install(t, s, nomad.Client{Name: "host1"})))
	_, err := connect(t, s, fmt.Sprintf(script, 3)).RunJob(ctx, nomad.Job{Host: "host1", Attempt: "1"})
	if err == nil || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("RunJob: %v, want exit code 3", err)
	}
}

func TestBadConfiguration(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no part":       {`data_dir = "/x"`, "neither client.enabled nor server.enabled"},
		"not enabled":   {"data_dir = \"/x\"\nclient {}", "client.enabled"},
		"three servers": {"data_dir = \"/x\"\nserver {\n enabled = true\n bootstrap_expect = 3\n}", "knows no consensus"},
		"no data_dir":   {"client {\n enabled = true\n}", "data_dir is missing"},
		"broken":        {"client {", "client.hcl:1"},
		"wrong values":  {"client {\n enabled = true\n servers = 5\n}", "list of string required"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "client.hcl"), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readConfig([]string{dir})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("readConfig(%q) = %v, want an error with %q", test.text, err, test.want)
			}
		})
	}
	if _, err := readConfig(nil); err == nil {
		t.Error("readConfig without a file succeeded")
	}
}

func TestHTTPAddress(t *testing.T) {
	for servers, want := range map[string]string{
		"10.77.0.1:4647": "http://10.77.0.1:4646",
		"10.77.0.1":      "http://10.77.0.1:4646",
		"[fd00::1]:4647": "http://[fd00::1]:4646",
		"10.77.0.1:x":    "",
	} {
		got, err := httpAddress([]string{servers}, false)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("httpAddress(%q) = %q, %v, want %q", servers, got, err, want)
		}
	}
}
