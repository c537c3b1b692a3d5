package installer_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/golden"
	"provision.internal/installer"
)

func TestFirstBootRun(t *testing.T) { golden.Check(t, "firstboot.run", installer.FirstBootRun()) }

// Every script that we leave on a machine is one that sh and shellcheck accept.
func TestScriptsAreSound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run")
	if err := os.WriteFile(file, []byte(installer.FirstBootRun()), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sh", "-n", file).CombinedOutput(); err != nil {
		t.Errorf("sh -n: %v\n%s", err, out)
	}
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not installed")
	}
	if out, err := exec.Command(shellcheck, file).CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}

// A real shell must read back exactly what was quoted, and do nothing else.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "plain", "it's", "'", "''", `\`, `\'`, "$(touch x)", "`id`", "a\nb", "\"", "$HOME", "*", "-n", "~", "ü", "\x01", "!", "#", "a b\t c", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		dir := t.TempDir()
		cmd := exec.Command("sh", "-c", "printf %s "+installer.Quote(s))
		cmd.Dir = dir
		var faults bytes.Buffer
		cmd.Stderr = &faults
		out, err := cmd.Output()
		if want := strings.ReplaceAll(s, "\x00", ""); err != nil || string(out) != want || faults.Len() > 0 {
			t.Errorf("sh read %q back as %q (%v, %s)", want, out, err, faults.String())
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("quoting %q left files behind: %v, %v", s, left, err)
		}
	})
}
