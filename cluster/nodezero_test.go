package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"provision.internal/nomad"
)

// machine is a control node in a folder.
type machine struct {
	*testing.T
	*NodeZero
	ran []string // commands
	err error    // of every command
}

func newMachine(t *testing.T, dirs ...string) *machine {
	m := &machine{T: t}
	m.NodeZero = &NodeZero{Root: t.TempDir(), Command: func(_ context.Context, name string, args ...string) error {
		m.ran = append(m.ran, strings.Join(append([]string{name}, args...), " "))
		return m.err
	}}
	for _, dir := range dirs {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// onRunit is Void with its package of nomad.
func onRunit(t *testing.T) *machine {
	m := newMachine(t, runitDefault, runitService)
	m.put(runitService+"/run", "#!/bin/sh\n")
	return m
}

func onSystemd(t *testing.T) *machine { return newMachine(t, systemdRuns) }

func (m *machine) put(name, content string) {
	m.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(content), 0o644); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) get(name string) string {
	m.Helper()
	b, err := os.ReadFile(m.path(name))
	if err != nil {
		m.Error(err)
	}
	return string(b)
}

// setup sets the files up and compares what was run for it, without the folder.
func (m *machine) setup(files []nomad.File, want ...string) {
	m.Helper()
	m.ran = nil
	changed, err := m.Setup(m.Context(), files)
	if err != nil {
		m.Fatal(err)
	}
	for i := range m.ran {
		m.ran[i] = strings.ReplaceAll(m.ran[i], m.Root, "")
	}
	if !slices.Equal(m.ran, want) {
		m.Errorf("Setup ran %q, want %q", m.ran, want)
	}
	if !changed && len(want) > 0 {
		m.Errorf("Setup ran %q and says that it changed nothing", m.ran)
	}
}

func configuration(server string) []nomad.File {
	return []nomad.File{
		{Path: nomad.ConfigDir + "/server.hcl", Mode: 0o640, Content: server},
		{Path: nomad.ConfigDir + "/tls/ca.pem", Mode: 0o644, Content: "ca"},
	}
}

var systemdStart = []string{"systemctl cat nomad.service", "systemctl enable nomad.service", "systemctl restart nomad.service"}

func TestNodeZeroSystemd(t *testing.T) {
	m := onSystemd(t)
	m.setup(configuration("one"), systemdStart...)
	m.setup(configuration("one"))
	m.setup(configuration("two"), systemdStart...)
	if got := m.get(nomad.ConfigDir + "/server.hcl"); got != "two" {
		t.Errorf("server.hcl holds %q", got)
	}
	info, err := os.Stat(m.path(nomad.ConfigDir + "/server.hcl"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("server.hcl: %v, %v; want mode 640", info.Mode(), err)
	}
	// A file that somebody has removed comes back; the operator's own stay.
	if err := os.Remove(m.path(nomad.ConfigDir + "/tls/ca.pem")); err != nil {
		t.Fatal(err)
	}
	m.put(nomad.ConfigDir+"/zz-mine.hcl", "mine")
	m.setup(configuration("two"), systemdStart...)
	if got := m.get(nomad.ConfigDir+"/tls/ca.pem") + m.get(nomad.ConfigDir+"/zz-mine.hcl"); got != "camine" {
		t.Errorf("the files hold %q", got)
	}
	// One that is not wanted any more goes.
	m.setup(configuration("two")[:1], systemdStart...)
	if _, err := os.Stat(m.path(nomad.ConfigDir + "/tls/ca.pem")); err == nil {
		t.Error("tls/ca.pem is still there")
	}
}

func TestNodeZeroRunit(t *testing.T) {
	m := onRunit(t)
	m.setup(configuration("one")) // runsvdir starts what is linked
	if got, err := os.Readlink(m.path(runitDefault + "/nomad")); err != nil || got != runitService {
		t.Errorf("the service's link: %q, %v", got, err)
	}
	m.setup(configuration("two"), "sv restart "+runitService)
}

// An introduction token is renewed when Nomad is started, and is no reason for it.
func TestNodeZeroToken(t *testing.T) {
	m := onSystemd(t)
	const file = nomad.DataDir + "/client/intro_token.jwt"
	with := func(token string) []nomad.File {
		return append(configuration("one"), nomad.File{Path: file, Mode: 0o600, Content: token})
	}
	m.setup(with("first"), systemdStart...)
	m.setup(with("second"))
	if got := m.get(file); got != "first" {
		t.Errorf("the token is %q", got)
	}
}

func TestNodeZeroRefusesForeign(t *testing.T) {
	for _, test := range []struct{ file, want string }{
		{nomad.ConfigDir + "/nomad.hcl", "/etc/nomad.d/nomad.hcl was not made by provision: move it away"},
		{nomad.ConfigDir + "/other.json", "/etc/nomad.d/other.json was not made by provision: move it away"},
		{nomad.DataDir + "/server/raft/raft.db", "name it in the nomad section"},
		{nomad.DataDir + "/client/state.db", "name it in the nomad section"},
	} {
		m := onSystemd(t)
		m.put(test.file, "somebody's")
		if _, err := m.Setup(t.Context(), configuration("one")); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Setup beside %s: %v, want %q", test.file, err, test.want)
		}
		if _, err := m.Key(nomad.ConfigDir + "/tls/host.key"); !errors.Is(err, ErrForeign) {
			t.Errorf("Key beside %s: %v, want ErrForeign", test.file, err)
		}
		if got := m.get(test.file); got != "somebody's" || len(m.ran) > 0 {
			t.Errorf("%s holds %q, ran %q", test.file, got, m.ran)
		}
	}
}

func TestNodeZeroKeepsChangesByHand(t *testing.T) {
	m := onSystemd(t)
	m.setup(configuration("one"), systemdStart...)
	m.put(nomad.ConfigDir+"/server.hcl", "by hand")
	_, err := m.Setup(t.Context(), configuration("two"))
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "server.hcl: its content was not made by provision: put what you have changed") {
		t.Errorf("Setup over a change by hand: %v", err)
	}
	if got := m.get(nomad.ConfigDir + "/server.hcl"); got != "by hand" {
		t.Errorf("server.hcl holds %q", got)
	}
}

// Power may go at any point: the next Setup goes on, and does not call its own
// files foreign.
func TestNodeZeroGoesOn(t *testing.T) {
	m := onSystemd(t)
	m.err = errors.New("no power")
	if _, err := m.Setup(t.Context(), configuration("one")); !errors.Is(err, m.err) {
		t.Errorf("Setup: %v, want %v", err, m.err)
	}
	m.err = nil
	m.setup(configuration("one"), systemdStart...)

	// Between the note and the file, and between the files and the start.
	had, err := m.made()
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]nomad.File{}
	for _, f := range configuration("two") {
		next[f.Path] = f
	}
	if err := m.place(had, next); err != nil {
		t.Fatal(err)
	}
	m.put(nomad.ConfigDir+"/server.hcl", "one")
	if err := m.Check(); err != nil {
		t.Errorf("Check in the middle of a change: %v", err)
	}
	m.setup(configuration("two"), systemdStart...)
	m.setup(configuration("two"))
}

func TestNodeZeroNeedsAService(t *testing.T) {
	bare := onSystemd(t)
	bare.err = errors.New("no files found for nomad.service")
	for _, test := range []struct {
		m    *machine
		want string
	}{
		{newMachine(t), "neither systemd nor runit"},
		{newMachine(t, runitDefault), "install the system's package of nomad"},
		{bare, "install the system's package of nomad"},
	} {
		if _, err := test.m.Setup(t.Context(), configuration("one")); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Setup: %v, want %q", err, test.want)
		}
		if _, err := os.Stat(test.m.path(nomad.ConfigDir + "/server.hcl")); err == nil {
			t.Errorf("Setup wrote a configuration that nothing reads")
		}
	}
}

func TestNodeZeroIdentity(t *testing.T) {
	m := onSystemd(t)
	const name = nomad.ConfigDir + "/tls/host.key"
	key, err := m.Key(name)
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.Key(name)
	if err != nil || !key.Equal(again) {
		t.Errorf("Key again: another one, %v", err)
	}
	info, err := os.Stat(m.path(name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v; want mode 600", info.Mode(), err)
	}
	m.put(name, "no key")
	if _, err := m.Key(name); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("Key from rubbish: %v", err)
	}

	if err := m.Identify(); err != nil {
		t.Fatal(err)
	}
	id := m.get(nomad.DataDir + "/client/client-id")
	if err := m.Identify(); err != nil {
		t.Fatal(err)
	}
	if got := m.get(nomad.DataDir + "/client/client-id"); got != id || len(got) != 36 || got == m.get(nomad.DataDir+"/client/secret-id") {
		t.Errorf("the node's identity: %q, then %q", id, got)
	}
}
