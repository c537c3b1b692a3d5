package installer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/golden"
	"provision.internal/host"
	"provision.internal/installer"
)

const autoinstallURL = "http://10.77.0.1/autoinstall/52-54-00-12-34-56"

func testCarrier() installer.Carrier {
	return installer.Carrier{
		Host: "node1", URL: autoinstallURL,
		Agent: "http://10.77.0.1/image/" + strings.Repeat("a", 64) + "/provision-agent", SHA256: strings.Repeat("a", 64),
		Overlay: `{"url":"https://10.77.0.1","http":"http://10.77.0.1"}`,
		CA:      "-----BEGIN CERTIFICATE-----\nit's public\n-----END CERTIFICATE-----\n",
	}
}

func testShell(t *testing.T, r installer.Role) string {
	t.Helper()
	if err := r.Validate("roles.worker"); err != nil {
		t.Fatal(err)
	}
	script, err := r.ShellScript(host.Host{Name: "node1", Role: "worker"}, installer.Site{
		Arch:         "x86_64",
		Repositories: []string{"http://10.77.0.1/void/current", "http://10.77.0.1/void/current/nonfree"},
		Keys:         []installer.File{{Path: "60:ae.plist", Content: "<plist>it's a key</plist>\n"}},
	}, autoinstallURL)
	if err != nil {
		t.Fatal(err)
	}
	return script
}

// autoinstalls are all configurations that are served, by the names of their
// golden files.
func autoinstalls(t *testing.T) map[string]string {
	return map[string]string{
		"autoinstall-agent.sh": testCarrier().Script(),
		"autoinstall-shell.sh": testShell(t, installer.Role{
			Installer: installer.InstallerShell, Disk: "smallest over 100 GB", Filesystem: "xfs", Swap: 4 << 30,
			Packages: []string{"chrony"}, Services: []string{"chronyd"}, Timezone: "Europe/Berlin", Keymap: "de", Locale: "de_DE.UTF-8",
			Cmdline: "console=ttyS0,115200 loglevel=4",
			Users:   []installer.User{{Name: "op", Groups: []string{"wheel", "users"}, Keys: []string{"ssh-ed25519 AAAA op's key"}}},
			Files:   []installer.File{{Path: "/etc/motd", Content: "it's ours\n"}, {Path: "/usr/local/bin/x", Mode: 0o755, Content: "#!/bin/sh\n"}},
		}),
		"autoinstall-shell-least.sh": testShell(t, installer.Role{Installer: installer.InstallerShell}),
		"autoinstall-stop.sh":        installer.AutoinstallNothing("node1", autoinstallURL, "the host is Ready; it's installed"),
	}
}

func TestAutoinstall(t *testing.T) {
	for name, script := range autoinstalls(t) {
		golden.Check(t, name, script)
	}
}

// Every configuration is one that the shells of an initrd and shellcheck accept.
func TestAutoinstallsAreSound(t *testing.T) {
	for name, script := range autoinstalls(t) {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"dash", "-n", file}, {"busybox", "sh", "-n", file}, {"bash", "-n", file},
			// Upstream's variables are set for upstream, and its functions called by it.
			{"shellcheck", "--shell=sh", "--exclude=SC2034,SC2317,SC2329", file},
		} {
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Errorf("%v: make deps installs it", err)
				continue
			}
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", name, args[0], err, out)
			}
		}
		if i := strings.Index(script, "@"); i >= 0 && strings.Contains(script[i:], "@\n") {
			t.Errorf("%s has a place that was not filled: %s", name, script[i:])
		}
	}
}

// Whatever a value holds, a real shell reads it back as it was, and nothing that
// comes first ends the shell.
func FuzzAutoinstallNothing(f *testing.F) {
	for _, s := range []string{"", "the host is Ready", "it's", "$(touch /tmp/x)", "a\nb", "'; exit 1; '", "@URL@", "@WHY@", "\\", "é"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, name, why string) {
		script := installer.AutoinstallNothing(name, autoinstallURL, why)
		// The machine restarts at the end, which is all that is left out here.
		body, ok := strings.CutSuffix(script, "sleep 5 || :\nprovision_restart\n")
		if !ok {
			t.Fatalf("the script ends otherwise:\n%s", script)
		}
		dir := t.TempDir()
		cmd := exec.Command("sh", "-e", "-c", body+"echo the end\n")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		want := "provision: nothing is to be installed on this machine: " + strings.ReplaceAll(why, "\x00", "") +
			"\nprovision: it restarts, and boots from its disk\nthe end\n"
		if err != nil || string(out) != want {
			t.Errorf("sh said %q (%v), want %q", out, err, want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%q left files behind: %v, %v", why, left, err)
		}
	})
}

// What upstream's installer cannot do, or what must not be public, is a fault of
// the role.
func TestShellRoleFaults(t *testing.T) {
	for key, r := range map[string]installer.Role{
		"installer":     {Installer: "dance"},
		"mirror":        {Mirror: true},
		"luks":          {LUKS: &installer.LUKS{PassphraseFile: "x"}},
		"root":          {Root: 4 << 30},
		"partitions":    {Root: 4 << 30, Partitions: []installer.Partition{{Path: "/var"}}},
		"boot":          {Boot: installer.BootDisk},
		"filesystem":    {Filesystem: "btrfs"},
		"disk":          {Disk: "path:pci-0000:00:1f.2-ata-1"},
		"nomad":         {Nomad: installer.Nomad{Pool: "default"}},
		"script":        {Script: "echo"},
		"files[0].mode": {Files: []installer.File{{Path: "/etc/key", Mode: 0o600}}},
	} {
		if r.Installer == "" {
			r.Installer = installer.InstallerShell
		}
		err := r.Validate("roles.worker")
		if err == nil || !strings.Contains(err.Error(), "roles.worker."+key+": ") {
			t.Errorf("Validate = %v, want a fault of %s", err, key)
		}
		if _, err := r.ShellScript(host.Host{Name: "node1"}, installer.Site{Arch: "x86_64"}, autoinstallURL); err == nil {
			t.Errorf("a role with a fault of %s has a script", key)
		}
		r.Installer = installer.InstallerAgent
		if err := r.Validate("roles.worker"); key != "installer" && err != nil {
			t.Errorf("with the agent: %v", err)
		}
	}
}

// Values that no role would pass with must still be nothing but values: a real
// shell reads each back as it was, alone and among others.
func FuzzShellScript(f *testing.F) {
	for _, s := range []string{"", "plain", "it's", "'; touch x; '", "$(touch x)", "`touch x`", "a\nb", `\`, "@KEYS@", "é", "\xff", "-n", "*", "%s"} {
		f.Add(s, s, s)
	}
	f.Fuzz(func(t *testing.T, zone, locale, text string) {
		if len(zone)+len(locale)+len(text) > 100_000 {
			t.Skip("longer than what a command line may hold")
		}
		r := installer.Role{Installer: installer.InstallerShell, Timezone: zone, Locale: locale, Keymap: text}
		script, err := r.ShellScript(host.Host{Name: "node1", Role: "worker"}, installer.Site{
			Arch: "x86_64", Repositories: []string{text},
			Keys: []installer.File{{Path: "a", Content: text}, {Path: "b", Content: zone}},
		}, autoinstallURL)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok1 := strings.Cut(script, "# Whatever is replaced below")
		_, functions, ok2 := strings.Cut(rest, "\ndone\n")
		functions, _, ok3 := strings.Cut(functions, "# Upstream wants a disk now")
		if !ok1 || !ok2 || !ok3 {
			t.Fatalf("the script is laid out otherwise:\n%s", script)
		}
		dir := t.TempDir()
		file := filepath.Join(t.TempDir(), "script")
		// The check of upstream's functions and the choice of a disk are left out.
		body := strings.Replace(before, "mkdir -p /etc/provision || :\n", "", 1) + functions + `
trap - 0
target=$1
mkdir -p "$target/etc"
VAI_install_xbps_keys
timezone_read=$timezone timezone=
VAI_configure_rc_conf
printf '%s\0' "$timezone_read" "$libclocale" "$hostname"
`
		if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("dash", "-e", file, dir)
		out, err := cmd.Output()
		plain := func(s string) string { return strings.ReplaceAll(s, "\x00", "") }
		wantLocale := plain(locale)
		if locale == "" {
			wantLocale = "en_US.UTF-8"
		}
		if want := plain(zone) + "\x00" + wantLocale + "\x00node1\x00"; err != nil || string(out) != want {
			t.Errorf("sh read %q (%v), want %q", out, err, want)
		}
		for name, want := range map[string]string{"a": plain(text), "b": plain(zone)} {
			if got, err := os.ReadFile(filepath.Join(dir, "var/db/xbps/keys", name)); err != nil || string(got) != want {
				t.Errorf("the key %s is %q (%v), want %q", name, got, err, want)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("the script left %v (%v)", entries, err)
		}
	})
}
