package lab

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// leaderGone makes this test program one whose first thread has ended while
// another lives: what a QEMU is for a while after it was killed.
const leaderGone = "LAB_TEST_LEADER_GONE"

func init() {
	if os.Getenv(leaderGone) == "" {
		return
	}
	runtime.LockOSThread() // init runs on the first thread
	go func() {
		os.Stdin.Read(make([]byte, 1)) // until the test closes it
		os.Exit(0)
	}()
	syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
}

// A machine whose first thread has ended holds its tap until the last one has:
// switching it on again before that met a busy device.
func TestProcessLivesUntilItsLastThread(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), leaderGone+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	defer cmd.Wait()
	defer stdin.Close()
	until(t, "the first thread's end", func() bool {
		f, err := statOf(pid)
		if err != nil {
			t.Fatal(err)
		}
		return f.state == "Z"
	})
	if _, ended, err := startOf(pid); err != nil || ended {
		t.Errorf("startOf: ended %v (%v) while a thread lives", ended, err)
	}
	stdin.Close()
	until(t, "the last thread's end", func() bool {
		_, ended, err := startOf(pid)
		return err == nil && ended
	})
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}
