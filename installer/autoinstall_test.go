package installer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/golden"
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

// autoinstalls are all configurations that are served, by the names of their
// golden files.
func autoinstalls(t *testing.T) map[string]string {
	return map[string]string{
		"autoinstall-agent.sh": testCarrier().Script(),
		"autoinstall-stop.sh":  installer.AutoinstallNothing("node1", autoinstallURL, "the host is Ready; it's installed"),
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
