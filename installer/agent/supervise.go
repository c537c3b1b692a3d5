package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"provision.internal/installer"
)

// Arguments by which the agent calls itself.
const (
	WorkArgument    = "install"                 // Work, as a child of init
	CarriedArgument = installer.CarriedArgument // Carry; behind WorkArgument: WorkCarried

	modprobePath = "/proc/sys/kernel/modprobe"
)

// ExitTold is Work's exit status for an end that was told to the appliance, or
// that came before there was anything to tell it to. Any other status but 0
// means that the agent died.
const ExitTold = 3

// readable is how long a last message stays on the console.
const readable = 15 * time.Second

// Supervise is init of the installer's initrd. It never returns: the end of init
// would be a kernel panic and a machine that stands still. The work is done by
// a child, so that even a fault of the Go runtime or the kernel's OOM killer
// leaves somebody to say so and to reboot.
func Supervise() {
	go awaitRandomness(randomBytes) // its fault is the worker's to tell
	console := openConsole(mountPseudo())
	offerModules(console)
	watch(console)
	unix.Sync()
	for {
		if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
			fmt.Fprintf(console, "provision: reboot: %v; switch the machine off and on\n", err)
		}
		time.Sleep(time.Minute)
	}
}

// watch runs the worker and says how it ended. It returns even from a panic.
func watch(console io.Writer) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(console, "provision: init has a fault, please report it: %v\n", p)
			time.Sleep(readable)
		}
	}()
	status, output := superviseWorker(console)
	switch status {
	case 0:
		fmt.Fprintln(console, "provision: rebooting")
	case ExitTold:
		fmt.Fprintf(console, "provision: NOT installed; rebooting in %s\n", readable)
		time.Sleep(readable)
	default:
		fmt.Fprintf(console, "provision: the agent died (status %d); rebooting in %s\n", status, readable)
		if err := speakForTheDead(Machine(), status, output); err != nil {
			fmt.Fprintf(console, "provision: tell the appliance: %v\n", err)
		}
		time.Sleep(readable)
	}
}

// openConsole returns where people read; the kernel's standard streams exist
// only when the initrd has a device node.
func openConsole(mounting error) io.Writer {
	var console io.Writer = os.Stderr
	if f, err := os.OpenFile("/dev/console", os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
		console = f
	}
	if mounting != nil {
		fmt.Fprintf(console, "provision: %v\n", mounting)
	}
	return console
}

// tail keeps the end of what is written to it.
type tail struct {
	to   io.Writer
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 2000
	t.kept = append(t.kept, b...)
	t.kept = t.kept[max(0, len(t.kept)-most):]
	return t.to.Write(b)
}

// offerModules has the kernel call us for modules: see Modprobe.
func offerModules(console io.Writer) {
	if err := os.WriteFile(modprobePath, []byte(executable()), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(console, "provision: modules on demand: %v\n", err)
	}
}

func executable() string {
	self, err := os.Executable()
	if err != nil {
		return "/init"
	}
	return self
}

// superviseWorker runs the worker, with further arguments, to its end and reaps
// every orphan meanwhile.
func superviseWorker(console io.Writer, args ...string) (status int, last string) {
	r, w, err := os.Pipe()
	if err != nil {
		return -1, err.Error()
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return -1, err.Error()
	}
	defer null.Close()
	// Not os.StartProcess: it starts another process first, to learn what the kernel can.
	pid, err := syscall.ForkExec(executable(), append([]string{"provision-agent", WorkArgument}, args...), &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=" + strings.Join(binaries, ":"), "HOME=/root"},
		Files: []uintptr{null.Fd(), w.Fd(), w.Fd()},
	})
	w.Close()
	if err != nil {
		return -1, err.Error()
	}
	out := &tail{to: console}
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(out, r) // ends with the last writer
	}()
	status = reap(pid)
	select {
	case <-read:
		return status, string(out.kept)
	case <-time.After(time.Second): // an orphan holds the pipe
		return status, ""
	}
}

// reap waits for every child and returns when the one with the pid has ended.
// A negative status is the signal that killed it.
func reap(pid int) int {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return -1
		case got != pid:
			continue
		case status.Signaled():
			return -int(status.Signal())
		case status.Exited():
			return status.ExitStatus()
		}
	}
}

// speakForTheDead tells the appliance that the agent died, in its session.
func speakForTheDead(sys *System, status int, output string) error {
	var words lastWords
	b, err := os.ReadFile(sys.path(lastWordsFile))
	if err == nil {
		err = json.Unmarshal(b, &words)
	}
	if err != nil || words.Session == "" {
		return errors.New("it died before hello; the console shows why")
	}
	overlay, ca, err := readOverlay(sys)
	if err != nil {
		return err
	}
	client, err := NewClient(overlay.URL, ca)
	if err != nil {
		return err
	}
	client.SetSession(words.Session)
	reason := fmt.Sprintf("the agent died with exit status %d", status)
	if status < 0 {
		reason = fmt.Sprintf("the agent was killed by signal %d (%s); 9 is what the kernel does when memory runs out", -status, syscall.Signal(-status))
	}
	if output != "" {
		reason += "; its last output: " + strings.Join(strings.Fields(output), " ")
	}
	ctx := context.Background() // init has nobody who could cancel it
	return sys.retry(ctx, patience, time.Second, 20*time.Second, func() error {
		return client.Post(ctx, installer.AgentPrefix+installer.FailedPath, installer.Failed{Step: words.Step, Reason: reason}, nil)
	}, func(error, time.Duration) {})
}
