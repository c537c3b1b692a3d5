package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// play is one entry of a playbook.
type play struct {
	Name  string `yaml:"name"`
	Hosts string `yaml:"hosts"`
	Facts *bool  `yaml:"gather_facts"` // accepted: there are none
	Tasks []task `yaml:"tasks"`
}

// task has exactly one module.
type task struct {
	Name    string         `yaml:"name"`
	Copy    *copyModule    `yaml:"copy"`
	File    *fileModule    `yaml:"file"`
	Command *commandModule `yaml:"command"`
	Fail    *failModule    `yaml:"fail"`
}

// readPlaybook refuses every key that it does not know.
func readPlaybook(name string) ([]play, error) {
	text, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("the playbook: %s could not be found", name)
	}
	if err != nil {
		return nil, err
	}
	return parsePlaybook(name, text)
}

func parsePlaybook(name string, text []byte) ([]play, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var plays []play
	if err := decoder.Decode(&plays); err != nil && err != io.EOF {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, name, err)
	}
	for i, p := range plays {
		if p.Hosts == "" {
			return nil, fmt.Errorf("%w: %s: play %d names no hosts", errUsage, name, i+1)
		}
		for j, t := range p.Tasks {
			if _, err := t.module(); err != nil {
				return nil, fmt.Errorf("%w: %s: play %d, task %d: %w", errUsage, name, i+1, j+1, err)
			}
		}
	}
	return plays, nil
}

// module is what a task does.
type module interface {
	name() string
	run(host string, o options) result
}

// module returns the only one that t has.
func (t task) module() (m module, err error) {
	n := 0
	if t.Copy != nil {
		m, n = t.Copy, n+1
	}
	if t.File != nil {
		m, n = t.File, n+1
	}
	if t.Command != nil {
		m, n = t.Command, n+1
	}
	if t.Fail != nil {
		m, n = t.Fail, n+1
	}
	if n != 1 {
		return nil, fmt.Errorf("it has %d modules, want one of copy, file, command and fail", n)
	}
	return m, nil
}

// is reports whether the play is for host.
func (p play) is(host string) bool {
	return p.Hosts == "all" || slices.Contains(strings.Split(p.Hosts, ","), host)
}

// fill replaces the one variable that there is.
func fill(text, host string) string {
	return strings.ReplaceAll(text, "{{ inventory_hostname }}", host)
}

// mode is that of a file, written as in chmod.
type mode struct{ fs.FileMode }

// UnmarshalYAML implements yaml.Unmarshaler.
func (m *mode) UnmarshalYAML(n *yaml.Node) error {
	var bits uint32
	if _, err := fmt.Sscanf(n.Value, "%o", &bits); err != nil || bits > 0o777 {
		return fmt.Errorf("%q is no mode such as 0644", n.Value)
	}
	m.FileMode = fs.FileMode(bits)
	return nil
}
