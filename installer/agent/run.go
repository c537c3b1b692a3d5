package agent

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"provision.internal/installer"
)

var randomBytes io.Reader = rand.Reader

// binaries is where programs are looked up, in the agent's own root and in a
// chroot: init is started without a PATH.
var binaries = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// keptLines is how much of a command's output its error quotes.
const keptLines = 8

// CommandError is the end of a program that did not succeed, with the last
// lines that it printed.
type CommandError struct {
	Command Command
	Err     error
	Last    []string
}

func (e *CommandError) Error() string {
	s := fmt.Sprintf("%s: %v", e.Command, e.Err)
	if len(e.Last) > 0 {
		s += ": " + strings.Join(e.Last, " | ")
	}
	return s
}

func (e *CommandError) Unwrap() error { return e.Err }

// runCommand runs c to its end. When ctx or the timeout ends first, the whole
// process group is killed: xbps-install and grub-install have children.
func runCommand(ctx context.Context, c Command) error {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = CommandTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no end within %s", timeout))
	defer cancel()

	program, err := lookUp(c.Chroot, c.Args[0])
	if err != nil {
		return &CommandError{Command: c, Err: err}
	}
	cmd := exec.CommandContext(ctx, program, c.Args[1:]...)
	cmd.Args[0] = c.Args[0]
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=" + strings.Join(binaries, ":"), "HOME=/root", "LC_ALL=C", "TERM=dumb"}, c.Env...)
	cmd.Stdin = strings.NewReader(c.Stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Chroot: c.Chroot}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = leftBehind

	var last []string
	out, ended := attach(cmd, c.Terminal)
	defer out.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		eachLine(out, func(line string) {
			last = append(last, line)
			last = last[max(0, len(last)-keptLines):]
			if c.Line != nil {
				c.Line(line)
			}
		})
	}()
	err = cmd.Run()
	ended()
	<-read
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well; what it left behind holds its output
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &CommandError{Command: c, Err: err, Last: last}
}

// lookUp finds a program in root (which may be "") and returns its path inside.
func lookUp(root, name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range binaries {
		inside := filepath.Join(dir, name)
		st, err := os.Lstat(filepath.Join(root, inside))
		if err != nil {
			continue
		}
		// A link is not followed: inside of a chroot it leads elsewhere.
		if st.Mode()&os.ModeSymlink != 0 || st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return inside, nil
		}
	}
	return "", final("%s is not in the installer's userland or the installed packages", name)
}

var escapes = installer.Regexp(`\x1b\[[0-9;]*[A-Za-z]`)

// eachLine calls f for each line of r that is not empty. A carriage return ends
// a line too: progress bars use it. Lines that never end are cut. What tells a
// terminal to move or to erase is left out.
func eachLine(r io.Reader, f func(string)) {
	const longest = 4096
	br := bufio.NewReader(r)
	var line []byte
	flush := func() {
		plain := escapes().ReplaceAllString(strings.ToValidUTF8(string(line), "?"), "")
		if s := strings.TrimSpace(plain); s != "" {
			f(s)
		}
		line = line[:0]
	}
	for {
		b, err := br.ReadByte()
		if err != nil {
			flush()
			return
		}
		if b == '\n' || b == '\r' || len(line) == longest {
			flush()
		}
		if b != '\n' && b != '\r' {
			line = append(line, b)
		}
	}
}
