package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/daemon"
	"provision.internal/golden"
)

// testApp is the command line with its output in buffers and a clock that
// stands still.
func testApp(t *testing.T) (a *app, out, errs *bytes.Buffer) {
	t.Helper()
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	size := func() (int, int) { return 80, 24 }
	a = &app{
		in: strings.NewReader(""), settings: newSettings(), now: time.Now,
		out: screen{Writer: out, size: size}, err: screen{Writer: errs, size: size},
	}
	return a, out, errs
}

func TestEveryFaultyKeyIsNamed(t *testing.T) {
	a, _, _ := testApp(t)
	a.settings.Set("config", "testdata/faulty.yaml")
	_, err := a.config()
	if !errors.As(err, new(daemon.Faults)) || exitCode(err) != exitUsage {
		t.Fatalf("config() = %v, want daemon.Faults and exit code %d", err, exitUsage)
	}
	// The test's own folder is part of some messages.
	here, pathErr := filepath.Abs(".")
	if pathErr != nil {
		t.Fatal(pathErr)
	}
	golden.Check(t, "faulty.golden", strings.ReplaceAll(err.Error(), here, "HERE")+"\n")
}

func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %d examples (%v), want at least 3", len(files), err)
	}
	for _, file := range files {
		a, _, _ := testApp(t)
		a.settings.Set("config", file)
		_, err := a.config()
		var faults daemon.Faults
		if err != nil && !errors.As(err, &faults) {
			t.Errorf("%s: %v", file, err)
		}
		for _, f := range faults {
			// The reader's token is not part of the example.
			if f.Key != "nomad.token_file" || !strings.HasSuffix(f.Problem, "no such file or directory") {
				t.Errorf("%s: %s", file, f)
			}
		}
	}
}

func TestExampleSaysWhatItMeans(t *testing.T) {
	a, _, _ := testApp(t)
	a.settings.Set("config", "../../examples/provision.yaml")
	cfg, err := a.config()
	if err != nil {
		t.Fatal(err)
	}
	worker := cfg.Roles["worker"]
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"server.address", cfg.Server.Address.String(), "192.0.2.2"},
		{"network[0].lease", cfg.Network[0].Lease, time.Hour},
		{"network[0].pool.to", cfg.Network[0].Pool.To.String(), "192.0.2.199"},
		{"roles.worker.esp", worker.ESP, uint64(512 << 20)},
		{"roles.worker.files[0].mode", worker.Files[0].Mode, uint32(0o644)},
		{"roles.worker.nomad.meta", worker.Nomad.Meta["rack"], "a1"},
		{"hosts[0].mac", cfg.Hosts[0].MAC.String(), "00:00:5e:00:53:01"},
		{"deadlines.installing", cfg.Deadlines.Installing, time.Hour},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
		}
	}
}

// viper 1.21 writes keys in lower case, but the case of a Nomad meta key is what
// the configuration job reads.
func TestKeysOfMetaKeepTheirCase(t *testing.T) {
	a, _, _ := testApp(t)
	settings, err := readYAML("../../examples/matrix.yaml")
	if err != nil {
		t.Fatal(err)
	}
	overlay(settings, a.settings)
	cfg, _ := daemon.Decode(settings, "../../examples") // its token is missing here, see above
	if got := cfg.Roles["desktop"].Nomad.Meta["RACK"]; got != "lan" {
		t.Errorf("meta RACK = %q, want lan; meta is %v", got, cfg.Roles["desktop"].Nomad.Meta)
	}
}

// viper 1.21 ignores variables of keys without a default when it unmarshals.
func TestEnvironmentWinsOverTheFile(t *testing.T) {
	for key, value := range map[string]string{
		"PROVISION_CONFIG":            "../../examples/provision.yaml",
		"PROVISION_SERVER_ADDRESS":    "192.0.2.9",
		"PROVISION_SERVER_LINGER":     "30s",
		"PROVISION_SERVER_STATE":      "/srv/state",
		"PROVISION_IMAGES_ROOTFS":     "elsewhere.tar.xz",
		"PROVISION_IMAGES_CACHE_SIZE": "70GiB",
		"PROVISION_NOMAD_SERVERS":     "192.0.2.3:4647,192.0.2.4:4647",
		"PROVISION_NOMAD_JOB":         "",
		"PROVISION_DEADLINES_JOINED":  "7m",
	} {
		t.Setenv(key, value)
	}
	a, _, _ := testApp(t)
	cfg, err := a.config()
	if err != nil {
		t.Fatal(err)
	}
	base, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"server.address", cfg.Server.Address.String(), "192.0.2.9"},
		{"server.linger", cfg.Server.Linger, 30 * time.Second},
		{"server.state", cfg.Server.State, "/srv/state"},
		{"images.rootfs", cfg.Images.ROOTFS, filepath.Join(base, "elsewhere.tar.xz")},
		{"images.cache.size", cfg.Images.Cache.Size, uint64(70 << 30)},
		{"nomad.servers", strings.Join(cfg.Nomad.Servers, " "), "192.0.2.3:4647 192.0.2.4:4647"},
		{"deadlines.joined", cfg.Deadlines.Joined, 7 * time.Minute},
		{"server.name", cfg.Server.Name, "provision"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestEveryVariableIsAKey(t *testing.T) {
	text, err := os.ReadFile("../../examples/provision.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range fromEnvironment {
		_, name, _ := strings.Cut(key, ".")
		name, _, _ = strings.Cut(name, ".")
		if !strings.Contains(string(text), "\n  "+name+":") && !strings.Contains(string(text), "\n  # "+name+":") {
			t.Errorf("the variable of %s: examples/provision.yaml has no such key", key)
		}
	}
}

func TestBrokenYAMLNamesFileAndLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte("server:\n  name: a\n  name: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, _, _ := testApp(t)
	a.settings.Set("config", file)
	_, err := a.config()
	if err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("config() = %v, want a usage error that names %s and line 3", err, file)
	}
}
