package agent

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRunCommand(t *testing.T) {
	var lines []string
	err := runCommand(context.Background(), Command{
		Args: []string{"sh", "-c", `cat; echo "$XBPS_ARCH"; printf '1%%\r2%%\rdone\n\n' >&2; pwd`},
		Env:  []string{"XBPS_ARCH=x86_64"}, Stdin: "from stdin\n",
		Line: func(s string) { lines = append(lines, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"from stdin", "x86_64", "1%", "2%", "done", "/"}, lines); d != "" {
		t.Errorf("lines differ (-want +got):\n%s", d)
	}
}

func TestRunCommandQuotesTheEnd(t *testing.T) {
	err := runCommand(context.Background(), Command{Args: []string{"sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; done; exit 7"}})
	var failed *CommandError
	if !errors.As(err, &failed) || len(failed.Last) != keptLines || !strings.Contains(err.Error(), "exit status 7: line 3 | ") || !strings.HasSuffix(err.Error(), "line 10") {
		t.Errorf("runCommand = %v", err)
	}
}

// On a terminal a program's lines come when it prints them, and its commands to the
// terminal are left out. What is printed faster than read is not lost.
func TestRunCommandOnATerminal(t *testing.T) {
	var lines []string
	err := runCommand(context.Background(), Command{
		Args:     []string{"sh", "-c", `test -t 1 && test -t 2 && printf '[ 1%%] a\033[K\r[99%%] a\033[K\rdone\033[K\n' && seq 20000`},
		Terminal: true,
		Line: func(s string) {
			if len(lines) == 3 {
				time.Sleep(50 * time.Millisecond) // the terminal is full meanwhile
			}
			lines = append(lines, s)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 20003 || lines[20002] != "20000" || !slices.Equal(lines[:4], []string{"[ 1%] a", "[99%] a", "done", "1"}) {
		t.Errorf("%d lines, %q … %q", len(lines), lines[:min(len(lines), 4)], lines[max(0, len(lines)-1):])
	}
	err = runCommand(context.Background(), Command{Args: []string{"sh", "-c", "echo why; exit 3"}, Terminal: true})
	if err == nil || !strings.HasSuffix(err.Error(), "exit status 3: why") {
		t.Errorf("runCommand = %v", err)
	}
}

// A program that hangs is ended with everything that it has started.
func TestRunCommandTimesOut(t *testing.T) {
	alive := filepath.Join(t.TempDir(), "alive")
	err := runCommand(context.Background(), Command{
		Args:    []string{"sh", "-c", "(sleep 1; touch '" + alive + "') & echo begun; wait"},
		Timeout: 200 * time.Millisecond,
	})
	if err == nil || !strings.Contains(err.Error(), "no end within 200ms: begun") {
		t.Errorf("runCommand = %v, want the bound and what was said", err)
	}
	time.Sleep(2 * time.Second)
	if _, err := os.Stat(alive); err == nil {
		t.Error("a child went on")
	}
}

// A package's script may leave a daemon behind that keeps the output open.
func TestRunCommandLeavesDaemonsBehind(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		err := runCommand(context.Background(), Command{Args: []string{"sh", "-c", "sleep 20 & exit 0"}, Timeout: 15 * time.Second, Terminal: terminal})
		if err != nil {
			t.Errorf("runCommand = %v", err)
		}
	}
}

func TestRunCommandEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("the operator stopped it"))
	if err := runCommand(ctx, Command{Args: []string{"sleep", "60"}}); err == nil || !strings.Contains(err.Error(), "the operator stopped it") {
		t.Errorf("runCommand = %v", err)
	}
}

// What is not installed will not be there at the next try either.
func TestRunCommandMissing(t *testing.T) {
	root := t.TempDir()
	for _, c := range []Command{{Args: []string{"no-such-program"}}, {Args: []string{"sh"}, Chroot: root}} {
		if err := runCommand(context.Background(), c); !errors.Is(err, errFinal) || !strings.Contains(err.Error(), "is not in the installer's userland") {
			t.Errorf("%v: runCommand = %v", c, err)
		}
	}
}

// In a chroot, links count as programs without being followed: /bin/ls of
// busybox leads to an absolute path that means another file out here.
func TestLookUp(t *testing.T) {
	m := newMachine(t)
	m.put("/usr/bin/plain", "")
	m.put("/sbin/tool", "")
	if err := os.Chmod(filepath.Join(m.root, "sbin/tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(m.root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/bin/busybox", filepath.Join(m.root, "bin/ls")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"tool": "/sbin/tool", "ls": "/bin/ls", "plain": "", "/any/path": "/any/path"} {
		if got, err := lookUp(m.root, name); got != want || (err == nil) != (want != "") {
			t.Errorf("lookUp(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
}

// Any output is cut into lines that can be sent as JSON.
func FuzzEachLine(f *testing.F) {
	f.Add([]byte("a\nb\r\nc\r50%\r"))
	f.Add([]byte("\xff\xfe\n\n\x00"))
	f.Add([]byte("[ 3%] a\x1b[K\r\x1b[1A\x1b[K\n\x1b[12;3"))
	f.Add(bytes.Repeat([]byte("x"), 10000))
	f.Fuzz(func(t *testing.T, b []byte) {
		var lines []string
		eachLine(bytes.NewReader(b), func(s string) { lines = append(lines, s) })
		if i := slices.IndexFunc(lines, func(s string) bool {
			return s == "" || len(s) > 3*4096 || strings.ContainsAny(s, "\r\n") || strings.ToValidUTF8(s, "") != s
		}); i >= 0 {
			t.Errorf("line %d is %q", i, lines[i])
		}
	})
}
