package nomadtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// RawExec runs tasks as Nomad's driver of that name does: as processes of the
// agent's own user, with its environment.
type RawExec struct {
	Dir string // the allocations' folders are below it
}

// Run is a Client's Task.
func (e RawExec) Run(ctx context.Context, t Task) Exit {
	if t.Driver != "raw_exec" {
		return Exit{Err: "there is no driver " + t.Driver + " but raw_exec"}
	}
	command, ok := t.Config["command"].(string)
	if !ok || command == "" {
		return Exit{Err: invalid("Missing required argument", `The argument "command" is required, but no definition was found.`)}
	}
	if _, err := exec.LookPath(command); err != nil {
		return Exit{Err: fmt.Sprintf("failed to launch command with executor: rpc error: code = Unknown desc = binary %q could not be found", command)}
	}
	var args []string
	list, _ := t.Config["args"].([]any)
	for _, a := range list {
		args = append(args, fmt.Sprint(a))
	}
	dir := filepath.Join(e.Dir, t.Alloc, t.Name)
	for _, sub := range []string{"local", "secrets"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return Exit{Err: err.Error()}
		}
	}
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, t.Stdout, t.Stderr
	cmd.Env = append(os.Environ(), "NOMAD_TASK_DIR="+filepath.Join(dir, "local"), "NOMAD_SECRETS_DIR="+filepath.Join(dir, "secrets"))
	for k, v := range t.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	// What a task has started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cmd.Process != nil {
		// Whatever is left of the group; there is usually nothing.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return Exit{}
	case errors.As(err, &exit) && exit.Exited():
		return Exit{Code: exit.ExitCode()}
	case errors.As(err, &exit):
		status, _ := exit.Sys().(syscall.WaitStatus)
		return Exit{Code: 128 + int(status.Signal())}
	}
	return Exit{Err: err.Error()}
}
