package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"
)

// result is what a module did on one host.
type result struct {
	Action  string `json:"action"`
	Changed bool   `json:"changed"`
	Failed  bool   `json:"failed,omitempty"`
	Skipped bool   `json:"skipped,omitempty"`
	Msg     string `json:"msg,omitempty"`
	Code    *int   `json:"rc,omitempty"`
	Stdout  string `json:"stdout,omitempty"`
	Stderr  string `json:"stderr,omitempty"`
}

// failure is the result of what could not be done.
func failure(err error) result { return result{Failed: true, Msg: err.Error()} }

// copyModule is ansible.builtin.copy with a content.
type copyModule struct {
	Dest    string `yaml:"dest"`
	Content string `yaml:"content"`
	Mode    mode   `yaml:"mode"`
}

func (*copyModule) name() string { return "copy" }

func (m *copyModule) run(host string, o options) result {
	file, want := filepath.Join(o.root, m.Dest), []byte(fill(m.Content, host))
	bits := m.Mode.FileMode
	if bits == 0 {
		bits = 0o644
	}
	have, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failure(err)
	}
	same := err == nil && bytes.Equal(have, want)
	if info, err := os.Stat(file); err == nil && m.Mode.FileMode != 0 && info.Mode().Perm() != bits {
		same = false
	}
	if same || o.check {
		return result{Changed: !same}
	}
	if err := os.WriteFile(file, want, bits); err != nil {
		return failure(err)
	}
	if err := os.Chmod(file, bits); err != nil {
		return failure(err)
	}
	return result{Changed: true}
}

// fileModule is ansible.builtin.file with the states directory and absent.
type fileModule struct {
	Path  string `yaml:"path"`
	State string `yaml:"state"`
}

func (*fileModule) name() string { return "file" }

func (m *fileModule) run(_ string, o options) result {
	name := filepath.Join(o.root, m.Path)
	info, err := os.Lstat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failure(err)
	}
	there := err == nil
	switch m.State {
	case "directory":
		if there && !info.IsDir() {
			return failure(fmt.Errorf("%s already exists as a file", m.Path))
		}
		if !there && !o.check {
			err = os.MkdirAll(name, 0o755)
		} else {
			err = nil
		}
	case "absent":
		there = !there
		if err = nil; !there && !o.check {
			err = os.RemoveAll(name)
		}
	default:
		return failure(fmt.Errorf("this stand-in knows the states directory and absent, not %q", m.State))
	}
	if err != nil {
		return failure(err)
	}
	return result{Changed: !there}
}

// commandModule is ansible.builtin.command: a text without quotes, or cmd and
// creates.
type commandModule struct {
	Cmd     string `yaml:"cmd"`
	Creates string `yaml:"creates"`
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (m *commandModule) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		m.Cmd = n.Value
		return nil
	}
	type plain commandModule
	return n.Decode((*plain)(m))
}

func (*commandModule) name() string { return "command" }

func (m *commandModule) run(host string, o options) result {
	if m.Creates != "" {
		if _, err := os.Lstat(filepath.Join(o.root, m.Creates)); err == nil {
			return result{Stdout: "skipped, since " + m.Creates + " exists"}
		}
	}
	if o.check && m.Creates != "" {
		return result{Changed: true} // Ansible knows without running it
	}
	if o.check {
		return result{Skipped: true, Msg: "Command would have run if not in check mode"}
	}
	argv := strings.Fields(fill(m.Cmd, host))
	if len(argv) == 0 {
		return failure(errors.New("no command given"))
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if o.root != "/" {
		cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Chroot: o.root}, "/"
	}
	err := cmd.Run()
	r := result{Changed: true, Stdout: strings.TrimRight(stdout.String(), "\n"), Stderr: strings.TrimRight(stderr.String(), "\n")}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code := exit.ExitCode()
		r.Failed, r.Msg, r.Code = true, "non-zero return code", &code
	case err != nil:
		return failure(err)
	}
	return r
}

// failModule is ansible.builtin.fail.
type failModule struct {
	Msg string `yaml:"msg"`
}

func (*failModule) name() string { return "fail" }

func (m *failModule) run(host string, _ options) result {
	return failure(errors.New(fill(m.Msg, host)))
}
