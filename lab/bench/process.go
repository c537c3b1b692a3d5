package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"provision.internal/dhcp/dhcptest"
)

// process is a server that was started here. It has a process group of its own, because
// tftpd-hpa and nginx have children.
type process struct {
	cmd    *exec.Cmd
	log    string
	began  time.Time
	exited chan struct{}
	err    error // of Wait; after exited
}

// start runs a program in a namespace; what it says goes to a file in dir.
func start(namespace, dir string, env []string, program string, args ...string) (*process, error) {
	p := &process{log: filepath.Join(dir, "log"), exited: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A child is born into the namespace of the thread that starts it.
	err = dhcptest.Inside(namespace, func() error {
		p.began = time.Now()
		return p.cmd.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// alive is an error that shows the end of the log when the process has ended.
func (p *process) alive() error {
	select {
	case <-p.exited:
		said, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s has ended: %v: %s", p.cmd.Path, p.err, lastLines(said, 5))
	default:
		return nil
	}
}

// stop ends the process and what it started.
func (p *process) stop() error {
	group := -p.cmd.Process.Pid
	if err := syscall.Kill(group, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	timeout := time.NewTimer(5 * time.Second)
	defer timeout.Stop()
	select {
	case <-p.exited:
	case <-timeout.C:
	}
	// Children of tftpd-hpa and nginx, and who does not listen.
	if err := syscall.Kill(group, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	<-p.exited
	return nil
}

// ticksPerSecond is USER_HZ, which Linux has fixed at 100 for what it shows to programs.
const ticksPerSecond = 100

// cpu is the processor time that the process, its children and those it has waited for
// have used.
func (p *process) cpu() (time.Duration, error) {
	pids := []int{p.cmd.Process.Pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("children of %s: %w", p.cmd.Path, err)
	}
	for _, f := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	var total time.Duration
	for i, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil && i > 0 {
			continue // a child that has ended: the parent's count has it
		}
		if err != nil {
			return 0, fmt.Errorf("processor time of %s: %w", p.cmd.Path, err)
		}
		used, err := parseStat(stat)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// parseStat adds up utime, stime, cutime and cstime of /proc/PID/stat. The second
// field is a name in parentheses that may itself hold blanks and parentheses.
func parseStat(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, fmt.Errorf("no program name in %q", stat)
	}
	f := bytes.Fields(stat[end+1:])
	if len(f) < 15 {
		return 0, fmt.Errorf("only %d fields after the program name in %q", len(f), stat)
	}
	var ticks int64
	for _, b := range f[11:15] {
		n, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("processor time in %q: %w", stat, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// rss is the process's resident memory in bytes.
func (p *process) rss() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p.cmd.Path, err)
	}
	return parseRSS(status)
}

// parseRSS finds VmRSS in /proc/PID/status.
func parseRSS(status []byte) (int64, error) {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			f := bytes.Fields(rest)
			if len(f) == 2 && string(f[1]) == "kB" {
				n, err := strconv.ParseInt(string(f[0]), 10, 64)
				return n << 10, err
			}
		}
	}
	return 0, errors.New("no VmRSS in the process's status")
}

// lastLines gives the end of a log, on one line.
func lastLines(log []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}
