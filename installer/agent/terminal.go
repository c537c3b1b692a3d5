package agent

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// leftBehind is how long a program's output may stay open after its end: a daemon
// that a package starts may hold it.
const leftBehind = 2 * time.Second

// attach connects the output of cmd with the reader that it returns. ended must be called when
// the program has ended; the reader then comes to its end too.
func attach(cmd *exec.Cmd, terminal bool) (out io.ReadCloser, ended func()) {
	if terminal {
		ours, its, err := openTerminal()
		if err == nil {
			cmd.Stdout, cmd.Stderr = its, its
			return ours, func() {
				its.Close()
				ours.SetReadDeadline(time.Now().Add(leftBehind)) // fails when it is closed, which is as good
			}
		}
		// The kernel may lack terminals: through a pipe the same comes, later.
	}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	return r, func() { w.Close() }
}

// openTerminal opens both ends of a new pseudo-terminal. It has no size: programs that
// lay out their output for the width of a terminal print it plainly then.
func openTerminal() (ours, its *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	var number int
	raw, err := ours.SyscallConn()
	if err == nil {
		controlErr := raw.Control(func(fd uintptr) {
			if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
				number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
			}
		})
		if controlErr != nil {
			err = controlErr
		}
	}
	var fd int
	name := fmt.Sprintf("/dev/pts/%d", number)
	if err == nil {
		// Not by os.OpenFile, which would not let the program's writes wait.
		fd, err = unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		ours.Close()
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	return ours, os.NewFile(uintptr(fd), name), nil
}
