package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is something that runs in the rack, recorded in a file so that any
// later command can find it. A process ID alone may long belong to somebody
// else: the record holds the start time too.
type process struct {
	record string // the file
}

const recordSuffix = ".pid"

func (r *Rack) process(name string) process {
	return process{record: r.path("run", name+recordSuffix)}
}

// processes lists what was recorded, running or not.
func (r *Rack) processes() []process {
	files, _ := filepath.Glob(r.path("run", "*"+recordSuffix)) // fails on a bad pattern only
	var all []process
	for _, f := range files {
		all = append(all, process{record: f})
	}
	return all
}

// Start runs argv under a name, apart from the caller's terminal, with its
// output in the rack's NAME.log. env is added to the caller's environment.
func (r *Rack) Start(name, dir string, env []string, argv ...string) error {
	p := r.process(name)
	if p.running() {
		return fmt.Errorf("%s runs already in rack %s", name, r.Name)
	}
	if err := os.MkdirAll(filepath.Dir(p.record), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(r.LogFile(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	pid := cmd.Process.Pid
	go cmd.Wait() //nolint:errcheck // only reaps: how it ended is in its log, and running tells whether
	started, _, err := startOf(pid)
	if err != nil {
		return fmt.Errorf("%s ended at once: see %s", name, r.LogFile(name))
	}
	return os.WriteFile(p.record, fmt.Appendf(nil, "%d %s\n", pid, started), 0o644)
}

// LogFile is where the output of the process called name goes.
func (r *Rack) LogFile(name string) string { return r.path(name + ".log") }

// Running reports whether the process called name runs.
func (r *Rack) Running(name string) bool { return r.process(name).running() }

// Stop asks the process called name to end, and ends it when it does not.
func (r *Rack) Stop(ctx context.Context, name string) error { return r.process(name).stop(ctx) }

// Kill ends the process called name as a lack of power would.
func (r *Rack) Kill(ctx context.Context, name string) error { return r.process(name).kill(ctx) }

// pid is the recorded process while it runs, else 0.
func (p process) pid() int {
	text, err := os.ReadFile(p.record)
	if err != nil {
		return 0
	}
	id, started, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(id)
	if err != nil {
		return 0
	}
	now, ended, err := startOf(pid)
	if err != nil || ended || now != started {
		return 0
	}
	return pid
}

func (p process) running() bool { return p.pid() != 0 }

// patience is how long a process may take to end when asked.
const patience = 5 * time.Second

func (p process) stop(ctx context.Context) error {
	pid := p.pid()
	if pid == 0 {
		return p.forget()
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", p.record, err)
	}
	if p.gone(ctx, patience) {
		return p.forget()
	}
	return p.kill(ctx)
}

func (p process) kill(ctx context.Context) error {
	pid := p.pid()
	if pid == 0 {
		return p.forget()
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.record, err)
	}
	if !p.gone(ctx, patience) {
		return fmt.Errorf("process %d of %s does not end", pid, p.record)
	}
	return p.forget()
}

// gone waits for the process to end.
func (p process) gone(ctx context.Context, limit time.Duration) bool {
	end := time.Now().Add(limit)
	for p.running() {
		if time.Now().After(end) || ctx.Err() != nil {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

func (p process) forget() error {
	if err := os.Remove(p.record); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// startOf tells when a process started, in the kernel's ticks since boot, and
// whether it has ended and only waits to be reaped. One that is a zombie while
// threads of it are left still has its files open: a QEMU its tap.
func startOf(pid int) (start string, ended bool, err error) {
	f, err := statOf(pid)
	if err != nil {
		return "", false, err
	}
	return f.started, f.state == "Z" && f.threads <= "1", nil
}

// stat is what /proc tells of a process (proc(5), fields 3, 20 and 22).
type stat struct{ state, threads, started string }

func statOf(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The command in field 2 may hold spaces and brackets.
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat holds %q", pid, text)
	}
	return stat{state: fields[0], threads: fields[17], started: fields[19]}, nil
}
