package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// System is the machine as the agent touches it. Every effect but file access
// below Root goes through one of its fields, so that a test can watch and fail
// each. All fields but Enter must be set; see Machine.
type System struct {
	Root    string // "/" on a machine; tests put a directory here
	Run     func(context.Context, Command) error
	Mount   func(source, target, fstype string, flags uintptr, data string) error
	Unmount func(target string) error
	Chown   func(t *target, name string, uid, gid int) error
	Wait    func(context.Context, time.Duration) error // sleeps; ends early with ctx's error
	Clock   func(time.Time) error                      // sets the system's clock
	Rand    io.Reader
	// Enter makes a directory, into which the userland was unpacked, the root of
	// this process; nil where the userland is unpacked over Root. See enterRoot.
	Enter func(root string) error
}

// Command is one program that the install runs.
type Command struct {
	Args     []string
	Chroot   string        // run inside this directory, and look the program up there
	Env      []string      // added to the agent's own
	Stdin    string        // what it reads
	Timeout  time.Duration // zero: CommandTimeout
	Line     func(string)  // called for each line that it prints on either output; may be nil
	Terminal bool          // it prints on a terminal, line by line, and not in blocks into a pipe
}

// CommandTimeout bounds a program for which no other bound is known. It is
// generous: emulated and worn-out machines are slow, and a hang is the exception.
const CommandTimeout = 5 * time.Minute

func (c Command) String() string {
	s := strings.Join(c.Args, " ")
	if c.Chroot != "" {
		s = "in " + c.Chroot + ": " + s
	}
	return s
}

// Machine returns the System that the agent really runs on.
func Machine() *System {
	return &System{
		Root:    "/",
		Run:     runCommand,
		Mount:   mount,
		Unmount: unmount,
		Chown:   (*target).Chown,
		Wait:    wait,
		Clock:   setClock,
		Rand:    randomBytes,
	}
}

// path puts an absolute path below Root.
func (s *System) path(parts ...string) string {
	return filepath.Join(append([]string{s.Root}, parts...)...)
}

// read returns a small file of proc or sys without white space around it, and
// "" when it cannot be read: attributes come and go with drivers.
func (s *System) read(parts ...string) string {
	b, err := os.ReadFile(s.path(parts...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.Trim(string(b), "\x00"))
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retry calls f until it succeeds, says that trying again is useless (an error
// that is final), the total wait would exceed budget, or ctx ends. Waits
// grow from first to most.
func (s *System) retry(ctx context.Context, budget, first, most time.Duration, f func() error, told func(error, time.Duration)) error {
	var waited time.Duration
	for pause := first; ; pause = min(pause*2, most) {
		err := f()
		if err == nil || errors.Is(err, errFinal) || waited+pause > budget {
			return err
		}
		told(err, pause)
		if e := s.Wait(ctx, pause); e != nil {
			return errors.Join(err, e)
		}
		waited += pause
	}
}

// errFinal is matched by errors that a repetition cannot mend; see final.
var errFinal = errors.New("final")

// final makes an error that retry does not repeat.
func final(format string, args ...any) error { return &finalError{fmt.Errorf(format, args...)} }

type finalError struct{ error }

func (e *finalError) Is(target error) bool { return target == errFinal }
func (e *finalError) Unwrap() error        { return e.error }

// writeFile writes a file and the directories above it, whole or not at all:
// power may go at any moment.
func writeFile(path string, mode os.FileMode, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
