package installer_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/installer"
)

const someKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBlank operator@example"

// fullRole uses every key.
func fullRole() installer.Role {
	return installer.Role{
		Disk:       "smallest over 100 GB",
		LUKS:       &installer.LUKS{PassphraseFile: "/etc/provision/luks"},
		Filesystem: "xfs",
		ESP:        512 << 20,
		Root:       30 << 30,
		Swap:       4 << 30,
		Partitions: []installer.Partition{{Path: "/var", Size: 20 << 30, Filesystem: "ext4"}, {Path: "/srv/data"}},
		Hardware:   installer.Hardware{Memory: amount(">= 16GiB"), Disks: amount("3")},
		Boot:       installer.BootDisk,
		Script:     "#!/bin/sh\nexit 0\n",
		Packages:   []string{"docker", "libstdc++", "python3"},
		Services:   []string{"docker", "chronyd"},
		Users:      []installer.User{{Name: "operator", Keys: []string{someKey}, Groups: []string{"wheel", "docker"}, Shell: "/bin/bash"}},
		Files:      []installer.File{{Path: "/etc/motd", Content: "hello\n"}, {Path: "/etc/cron.daily/x", Mode: 0o755, Content: "#!/bin/sh\n"}},
		Timezone:   "America/Argentina/Buenos_Aires",
		Keymap:     "de-latin1",
		Locale:     "de_DE.UTF-8",
		Cmdline:    "console=ttyS0,115200 loglevel=4",
		Nomad:      installer.Nomad{Pool: "workers", Datacenter: "dc1", Meta: map[string]string{"rack": "1"}, Config: "client {}\n"},
		Job:        "/etc/provision/job.hcl",
	}
}

func TestValidateAcceptsGoodRoles(t *testing.T) {
	for name, role := range map[string]installer.Role{"empty": {}, "full": fullRole()} {
		if err := role.Validate("roles." + name); err != nil {
			t.Errorf("the %s role has faults: %v", name, err)
		}
	}
}

// One look at the errors must be enough to mend the file: all of them, each
// with its key.
func TestValidateNamesEveryFault(t *testing.T) {
	role := installer.Role{
		Disk:       "/dev/sda",
		Filesystem: "zfs",
		ESP:        1 << 20,
		Swap:       2 << 40,
		Packages:   []string{"good", "bad name", "good", "-Sy"},
		Services:   []string{"../evil", "nomad", "provision-firstboot"},
		Users: []installer.User{
			{Name: "Operator", Keys: []string{someKey}},
			{Name: "root", Keys: []string{someKey}},
			{Name: "a"},
			{Name: "a", Keys: []string{"ssh-dss AAAA", someKey + "\n" + someKey}, Groups: []string{"wheel:x"}, Shell: "bash"},
		},
		Files: []installer.File{
			{Path: "relative"}, {Path: "/etc/../shadow"}, {Path: "/etc/motd", Mode: 0o4755}, {Path: "/etc/motd"},
			{Path: installer.EnrolFile}, {Path: "/"}, {Path: installer.NomadSecret},
		},
		Timezone: "../../etc/shadow",
		Keymap:   "$(reboot)",
		Locale:   "german",
		Cmdline:  "quiet\ninit=/bin/sh",
		Nomad:    installer.Nomad{Pool: "a b", Datacenter: "ü", Meta: map[string]string{"": "x", "a b": "y"}},
	}
	err := role.Validate("roles.worker")
	if err == nil {
		t.Fatal("Validate found nothing")
	}
	var keys []string
	for line := range strings.Lines(err.Error()) {
		key, why, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || why == "" {
			t.Errorf("the line %q has no reason", line)
		}
		keys = append(keys, strings.TrimPrefix(key, "roles.worker."))
	}
	want := []string{
		"disk", "filesystem", "esp", "swap", "packages[1]", "packages[2]", "packages[3]",
		"services[0]", "services[1]", "services[2]",
		"users[0].name", "users[1].name", "users[2].keys",
		"users[3].name", "users[3].keys[0]", "users[3].keys[1]", "users[3].groups[0]", "users[3].shell",
		"files[0].path", "files[1].path", "files[2].mode", "files[3].path", "files[4].path", "files[5].path", "files[6].path",
		"timezone", "keymap", "locale", "nomad.pool", "nomad.datacenter", "cmdline", "nomad.meta", "nomad.meta",
	}
	if d := cmp.Diff(want, keys); d != "" {
		t.Errorf("faults differ (-want +got):\n%s\nin:\n%v", d, err)
	}
}

func TestValidHostname(t *testing.T) {
	for _, name := range []string{"a", "node-1", "1node", strings.Repeat("x", 63)} {
		if err := installer.ValidHostname(name); err != nil {
			t.Errorf("ValidHostname(%q) = %v, want nil", name, err)
		}
	}
	for _, name := range []string{"", "-a", "a-", "Node", "a.b", "a_b", "a b", "ü", "a\n", strings.Repeat("x", 64)} {
		if installer.ValidHostname(name) == nil {
			t.Errorf("ValidHostname(%q) = nil, want an error", name)
		}
	}
}
