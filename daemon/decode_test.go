package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// minimal is the smallest valid configuration.
const minimal = `
server: {address: 10.77.0.1, interface: rack0}
network:
  - {name: rack, subnet: 10.77.0.0/24, pool: {from: 10.77.0.100, to: 10.77.0.199}}
images: {repository: void, keys: keys, rootfs: rootfs.tar.xz}
roles: {worker: {}}
nomad: {address: "http://10.77.0.1:4646", servers: ["10.77.0.1:4647"]}
`

func parse(t testing.TB, text string) (Config, error) {
	t.Helper()
	var settings map[string]any
	if err := yaml.Unmarshal([]byte(text), &settings); err != nil {
		t.Fatal(err)
	}
	return Decode(settings, "/base")
}

func TestDefaultsCompleteAMinimalConfiguration(t *testing.T) {
	cfg, err := parse(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"server.state", cfg.Server.State, "/var/lib/provision"},
		{"server.http", cfg.Server.HTTP, ":80"},
		{"network[0].interface", cfg.Network[0].Interface, "rack0"},
		{"network[0].dhcp", string(cfg.Network[0].DHCP), "full"},
		{"images.repository", cfg.Images.Repository, "/base/void"},
		{"images.kernel", cfg.Images.Kernel, "linux"},
		{"deadlines.installing", cfg.Deadlines.Installing, time.Hour},
		{"nomad.region", cfg.Nomad.Region, "global"},
		{"the plain server's URL", cfg.Server.httpURL(), "http://10.77.0.1"},
		{"the secure server's URL", cfg.Server.httpsURL(), "https://10.77.0.1"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
		}
	}
}

// Each key is wrong on its own here, in an otherwise valid configuration: the
// fault must name it, and nothing else.
func TestOneFaultIsOneLine(t *testing.T) {
	for _, c := range []struct{ from, to, key string }{
		{"address: 10.77.0.1, interface", "address: 10.77.0.1.1, interface", "server.address"},
		{"address: 10.77.0.1, interface", "address: \"::1\", interface", "server.address"},
		{"interface: rack0}", "interface: rack0, linger: -1s}", "server.linger"},
		{"interface: rack0}", "interface: rack0, https: \":80\"}", "server.https"},
		{"interface: rack0}", "interface: rack0, http: \"example.org:80\"}", "server.http"},
		{"interface: rack0}", "interface: rack0, state: 5}", "server.state"},
		{"interface: rack0}", "interface: rack0, Name: lab}", "server.Name"},
		{"interface: rack0}", "interface: rack0, socket: /" + strings.Repeat("s", 108) + "}", "server.socket"},
		{"address: 10.77.0.1, interface: rack0", "address: 10.77.0.1", "network[0].interface"},
		{"to: 10.77.0.199", "to: 10.78.0.199", "network[0].pool.to"},
		{"name: rack,", "name: rack, lease: 60,", "network[0].lease"},
		{"rootfs: rootfs.tar.xz", "rootfs: [a, b]", "images.rootfs"},
		{"rootfs: rootfs.tar.xz", "rootfs: \"\"", "images.rootfs"},
		{"rootfs: rootfs.tar.xz", "rootfs: r, repositories: [/etc]", "images.repositories[0]"},
		{"rootfs: rootfs.tar.xz", "rootfs: r, upstream: \"https://example.org\"", "images.upstream"},
		{"rootfs: rootfs.tar.xz", "rootfs: r, arch: armv7l", "images.arch"},
		{"rootfs: rootfs.tar.xz", "rootfs: r, arch: []", "images.arch"},
		{"rootfs: rootfs.tar.xz", "rootfs: r, arch: x86_64-musl, libc: glibc", "images.arch"},
		{"rootfs: rootfs.tar.xz", "rootfs: r, arch: [x86_64, aarch64]", "images.rootfs"},
		{"rootfs: rootfs.tar.xz", "rootfs: r, libc: uclibc", "images.libc"},
		{"worker: {}", "worker: {libc: uclibc}", "roles.worker.libc"},
		{"worker: {}", "worker: {swap: -5}", "roles.worker.swap"},
		{"worker: {}", "worker: {users: [{name: root, keys: [ssh-rsa x]}]}", "roles.worker.users[0].name"},
		{"worker: {}", "worker: {job: /missing.hcl}", "roles.worker.job"},
		{"roles: {worker: {}}", "roles: {}", "roles"},
		{"roles: {worker: {}}", "roles: {worker: {}}\nhosts: [{name: a, mac: \"52:54:00:00:00:01\", role: king}]", "hosts[0].role"},
		{"roles: {worker: {}}", "roles: {worker: {}}\nhosts: [{name: a, mac: \"52:54:00:00:00:01\", address: 10.77.0.1}]", "hosts[0].address"},
		{"roles: {worker: {}}", "roles: {worker: {}}\nhosts: none", "hosts"},
		{"10.77.0.1:4647", "10.77.0.1", "nomad.servers[0]"},
		{"nomad: {", "nomad: {introduction: maybe, ", "nomad.introduction"},
		{"nomad: {", "deadlines: {joined: 1}\nnomad: {", "deadlines.joined"},
	} {
		if !strings.Contains(minimal, c.from) {
			t.Fatalf("the minimal configuration has no %q", c.from)
		}
		_, err := parse(t, strings.Replace(minimal, c.from, c.to, 1))
		var faults Faults
		if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Key != c.key || faults[0].Problem == "" {
			t.Errorf("with %q: %v; want exactly one fault, of %s", c.to, err, c.key)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "512": 512, "1KiB": 1024, "4GiB": 4 << 30, "2 TiB": 2 << 40, "1TB": 1e12, "64MiB": 64 << 20,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1GiB", "1.5GiB", "4 bananas", "4GiBB", "99999999TiB", "1 000"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"4GiB", "", "18446744073709551615", "1 TB", "0KiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseSize(text); err != nil && n != 0 {
			t.Errorf("ParseSize(%q) = %d with error %v", text, n, err)
		}
	})
}
