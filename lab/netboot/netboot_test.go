package netboot_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/lab/netboot"
)

const oneDisk = `{"blockdevices": [{"name": "nvme0n1", "type": "disk", "size": 8589934592}]}`

// start runs an image whose autoinstaller gets the configuration.
func start(t *testing.T, m *netboot.Machine, config string) netboot.Run {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(config)) // a client that hangs up fails the test by itself
	}))
	t.Cleanup(server.Close)
	m.Dir = t.TempDir()
	m.Disks = oneDisk
	m.Cmdline = strings.ReplaceAll(m.Cmdline, "SERVER", server.URL)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run, err := m.Start(ctx)
	if errors.Is(err, netboot.ErrNotRoot) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// What upstream promises, and what it does wrong: the reasons for which a
// configuration of ours is longer than a few variables.
func TestContract(t *testing.T) {
	const auto = "BOOT_IMAGE=vmlinuz auto autourl=SERVER/config root=vai"
	for _, tt := range []struct {
		name, cmdline, config string
		fail                  []string
		end                   netboot.End
		has, hasNot           string
	}{
		{"without the word auto nothing happens", "autourl=SERVER/config", "", nil, netboot.WentOn, "", "sfdisk"},
		{"a plain configuration takes the first disk", auto, "end_action=reboot", nil, netboot.Restarted, "sfdisk /dev/nvme0n1", ""},
		{"a partition is the disk's name with a number behind", auto, "end_action=reboot", nil, netboot.Restarted, "mkfs.ext4 -F /dev/nvme0n11", ""},
		{"variables win", auto, "disk=/dev/sdb; end_action=reboot", nil, netboot.Restarted, "sfdisk /dev/sdb", "sfdisk /dev/nvme"},
		{"so do functions", auto, "VAI_partition_disk() { reboot -f; }", nil, netboot.Restarted, "", "sfdisk"},
		{"the configuration is read before a disk is written", auto, "reboot -f", nil, netboot.Restarted, "", "sfdisk"},
		{"a failing command ends init", auto, "", []string{"mkfs.ext4 *"}, netboot.Panic, "sfdisk", "xbps-install"},
		{"so does one of the configuration", auto, "false", nil, netboot.Panic, "", "sfdisk"},
		{"so does a configuration that is not there", "auto autourl=SERVER/none", "", nil, netboot.Panic, "", "sfdisk"},
		{"no disk is the end", auto, "disk=", nil, netboot.Panic, "", "sfdisk"},
		{"a function at the end", auto, "end_action=func; end_function() { reboot -f; }", nil, netboot.Restarted, "chroot /mnt update-grub", ""},
	} {
		for _, shell := range []string{"busybox", "dash", "bash"} {
			t.Run(tt.name+", "+shell, func(t *testing.T) {
				run := start(t, &netboot.Machine{Shell: shell, Cmdline: tt.cmdline, Fail: tt.fail}, tt.config)
				called := func(what string) bool {
					return slices.ContainsFunc(run.Calls, func(c string) bool { return strings.HasPrefix(c, what) })
				}
				if run.End != tt.end || tt.has != "" && !called(tt.has) || tt.hasNot != "" && called(tt.hasNot) {
					t.Errorf("it ended by %q, want %q; called with %q and not %q:\n%s\nthe console:\n%s",
						run.End, tt.end, tt.has, tt.hasNot, strings.Join(run.Calls, "\n"), run.Console)
				}
			})
		}
	}
}
