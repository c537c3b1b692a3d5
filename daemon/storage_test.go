package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/host"
	"provision.internal/installer"
)

// What roles say about disks is read, and faults in it are named by their keys.
func TestDecodeStorage(t *testing.T) {
	cfg, err := parse(t, strings.Replace(minimal, "roles: {worker: {}}", `roles:
  worker:
    disk: smallest over 100 GB
    mirror: true
    luks: {passphrase_file: vault.key}
    filesystem: xfs
    root: 30GiB
    partitions: [{path: /var, size: 20GiB, filesystem: btrfs}, {path: /home}]
    hardware: {memory: ">= 16GiB", disks: 2, nics: ">= 2"}
    boot: disk
    script: echo hello
`, 1))
	if err != nil {
		t.Fatal(err)
	}
	role := cfg.Roles["worker"]
	if role.LUKS == nil || role.LUKS.PassphraseFile != "/base/vault.key" {
		t.Errorf("luks = %+v, want the file beside the configuration", role.LUKS)
	}
	if len(role.Partitions) != 2 || role.Partitions[0].Size != 20<<30 || role.Root != 30<<30 || !role.Mirror || role.Boot != installer.BootDisk {
		t.Errorf("the role is %+v", role)
	}
	if got := role.Hardware.Disks.String() + " " + role.Hardware.NICs.String(); got != "2 >= 2" {
		t.Errorf("hardware says %q", got)
	}
	for text, want := range map[string]string{
		"luks: {}":                       "roles.worker.luks.passphrase_file",
		"luks: {passphrase: x}":          "roles.worker.luks.passphrase",
		"hardware: {memory: lots}":       "roles.worker.hardware.memory",
		"hardware: {disks: 2.5}":         "roles.worker.hardware.disks",
		"partitions: [{path: /usr}]":     "roles.worker.partitions[0].path",
		"partitions: [{device: sda}]":    "roles.worker.partitions[0].device",
		"mirror: 1":                      "roles.worker.mirror",
		"disk: smallest and biggest":     "roles.worker.disk",
		"boot: usb":                      "roles.worker.boot",
		"partitions: [{path: /var}]":     "roles.worker.root",
		"hardware: {graphics: \">= 1\"}": "roles.worker.hardware.graphics",
	} {
		_, err := parse(t, strings.Replace(minimal, "worker: {}", "worker: {"+text+"}", 1))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a fault of %s", text, err, want)
		}
	}
}

// A plan has the passphrase of the file as it is now; a file that others can
// read, or without a passphrase, gives no plan, so that no grant is burned.
func TestPassphrase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vault.key")
	cfg := testConfig(t, strings.Replace(minimal, "worker: {}", "worker: {luks: {passphrase_file: "+file+"}}", 1))
	p := &plans{cfg: cfg}
	disk := host.Disk{Name: "sda", Serial: "S1", Size: 10e9}
	for _, c := range []struct {
		content string
		mode    os.FileMode
		want    installer.Secret
		fault   string
	}{
		{"open sesame\n", 0o600, "open sesame", ""},
		{"open sesame\r\n", 0o400, "open sesame", ""},
		{" spaces stay ", 0o600, " spaces stay ", ""},
		{"\n", 0o600, "", "no passphrase"},
		{strings.Repeat("x", 5000), 0o600, "", "no passphrase of 1 to"},
		{"open sesame\n", 0o640, "", "chmod 600"},
		{"", 0, "", "no such file"},
	} {
		os.Remove(file)
		if c.mode != 0 {
			if err := os.WriteFile(file, []byte(c.content), c.mode); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := p.plan(admitted(disk), []host.Disk{disk})
		finding := checkPassphrase("worker", cfg.Roles["worker"])
		switch {
		case c.fault == "" && (err != nil || plan.Layout.Passphrase != c.want || finding.Verdict != Good):
			t.Errorf("%q: %q, %v, and the check says %+v", c.content, string(plan.Layout.Passphrase), err, finding)
		case c.fault != "" && (!errors.Is(err, installer.ErrPlan) || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%q with mode %o: %v, want ErrPlan with %q", c.content, c.mode, err, c.fault)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("the error shows the passphrase: %v", err)
		}
	}
}
