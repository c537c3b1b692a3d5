package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"provision.internal/installer/agent"
)

// The agent travels in every initrd and runs where there is no libc: it must be
// small and need nothing.
func TestBinaryIsSmallAndStatic(t *testing.T) {
	const most = 10_000_000
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "agent")
			build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, ".")
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			st, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes", st.Size())
			if st.Size() >= most {
				t.Errorf("the agent has %d bytes, want less than %d", st.Size(), most)
			}
			f, err := elf.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, p := range f.Progs {
				if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
					t.Errorf("the agent is not static: it has %v", p.Type)
				}
			}
		})
	}
}

// Nobody installs by accident on a machine that is already somebody's.
func TestCommands(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
	}{
		{nil, 2},
		{[]string{"version"}, 0},
		{[]string{"dance"}, 1},
		{[]string{"install"}, 1},
		{[]string{"install", "carried"}, agent.ExitTold},
		{[]string{"carried"}, 1},
		{[]string{"-q", "--", "no-such-module-anywhere"}, 0},
	} {
		if got := run(c.args); got != c.want {
			t.Errorf("run(%q) = %d, want %d", c.args, got, c.want)
		}
	}
}
