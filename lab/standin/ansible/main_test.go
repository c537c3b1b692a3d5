package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// playbooks are run by the stand-in and by the real program. DIR is a folder of the
// run's own.
var playbooks = []struct{ name, text string }{
	{"copy", `
- hosts: all
  gather_facts: false
  tasks:
    - name: a file
      copy: {dest: DIR/file, content: "hello {{ inventory_hostname }}\n", mode: "0600"}
`},
	{"folders", `
- hosts: all
  gather_facts: false
  tasks:
    - file: {path: DIR/folder, state: directory}
    - file: {path: DIR/gone, state: absent}
    - command: {cmd: touch DIR/made, creates: DIR/made}
`},
	{"a failure ends it", `
- hosts: all
  gather_facts: false
  tasks:
    - command: /bin/true
    - name: fails
      fail: {msg: on purpose}
    - copy: {dest: DIR/never, content: x}
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: DIR/never, content: x}
`},
	{"a command that fails", `
- hosts: all
  gather_facts: false
  tasks:
    - command: /bin/false
`},
	{"another host's play", `
- hosts: all
  gather_facts: false
  tasks:
    - command: /bin/true
- hosts: other
  gather_facts: false
  tasks:
    - fail: {msg: not me}
`},
}

// standIn runs the stand-in in this process.
func standIn(_ *testing.T, args ...string) (code int, out []byte) {
	var b bytes.Buffer
	failed, err := run(args, func(string) string { return "json" }, &b)
	switch {
	case errors.Is(err, errUsage):
		return exitSyntax, nil
	case err != nil:
		return exitError, nil
	case failed:
		return exitFailed, b.Bytes()
	}
	return 0, b.Bytes()
}

// real runs Debian's Ansible.
func real(t *testing.T, args ...string) (code int, out []byte) {
	cmd := exec.Command("ansible-playbook", args...)
	cmd.Env = append(os.Environ(), "ANSIBLE_STDOUT_CALLBACK=json", "ANSIBLE_LOCALHOST_WARNING=false", "HOME="+t.TempDir())
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out
}

// What the stand-in counts, returns and leaves behind is what Ansible does: in
// check mode, at the first run, and at a second one.
func TestLikeAnsible(t *testing.T) {
	if _, err := exec.LookPath("ansible-playbook"); err != nil {
		t.Skip("needs ansible-playbook: make deps installs it")
	}
	for _, book := range playbooks {
		t.Run(book.name, func(t *testing.T) {
			t.Parallel()
			type outcome struct {
				Code  int
				Stats map[string]totals
				Tasks []string
				Files map[string]string
			}
			play := func(run func(*testing.T, ...string) (int, []byte)) (all []outcome) {
				dir := t.TempDir()
				file := filepath.Join(t.TempDir(), "book.yml")
				if err := os.WriteFile(file, []byte(strings.ReplaceAll(book.text, "DIR", dir)), 0o600); err != nil {
					t.Fatal(err)
				}
				for _, more := range [][]string{{"--check"}, nil, nil} {
					var o outcome
					var out []byte
					o.Code, out = run(t, append([]string{"-D", file, "-i", "node1,other,", "-c", "local", "--limit", "node1"}, more...)...)
					var told report
					if err := json.Unmarshal(out, &told); err != nil {
						t.Fatalf("%v in:\n%s", err, out)
					}
					o.Stats = map[string]totals{}
					for host, s := range told.Stats {
						o.Stats[host] = *s
					}
					for _, p := range told.Plays {
						for _, task := range p.Tasks {
							o.Tasks = append(o.Tasks, task.Task.Name)
							if r, ok := task.Hosts["node1"]; ok && r.Failed {
								o.Tasks = append(o.Tasks, r.Msg)
							}
						}
					}
					o.Files = tree(t, dir)
					all = append(all, o)
				}
				return all
			}
			if diff := cmp.Diff(play(real), play(standIn)); diff != "" {
				t.Errorf("Ansible (-) and the stand-in (+) differ:\n%s", diff)
			}
		})
	}
}

// tree is what a folder holds: modes and contents.
func tree(t *testing.T, dir string) map[string]string {
	found := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == dir {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(b)
		}
		found[strings.TrimPrefix(path, dir)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		file := filepath.Join(dir, "book.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := "- hosts: all\n  tasks: []\n"
	for _, tt := range []struct {
		name, text string
		args       []string
		code       int
	}{
		{"no playbook", good, []string{"-i", "a,"}, exitSyntax},
		{"an unknown option", good, []string{"BOOK", "-i", "a,", "--become"}, exitSyntax},
		{"an unknown connection", good, []string{"BOOK", "-i", "a,", "-c", "ssh"}, exitSyntax},
		{"no host", good, []string{"BOOK", "-i", "a,", "--limit", "b"}, exitError},
		{"a playbook that is not there", good, []string{"nowhere.yml", "-i", "a,"}, exitError},
		{"an unknown module", "- hosts: all\n  tasks:\n    - apt: {name: x}\n", []string{"BOOK", "-i", "a,"}, exitSyntax},
		{"an unknown argument", "- hosts: all\n  tasks:\n    - copy: {src: x}\n", []string{"BOOK", "-i", "a,"}, exitSyntax},
		{"two modules", "- hosts: all\n  tasks:\n    - {fail: {}, command: x}\n", []string{"BOOK", "-i", "a,"}, exitSyntax},
		{"no hosts", "- tasks: []\n", []string{"BOOK", "-i", "a,"}, exitSyntax},
	} {
		for i, a := range tt.args {
			if a == "BOOK" {
				tt.args[i] = write(tt.text)
			}
		}
		if code, _ := standIn(t, tt.args...); code != tt.code {
			t.Errorf("%s: exit code %d, want %d", tt.name, code, tt.code)
		}
	}
}

// In a chroot files are below it, and commands run in it.
func TestChroot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for a chroot")
	}
	dir := t.TempDir()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("needs /bin/busybox: make deps installs it")
	}
	if err := os.WriteFile(filepath.Join(dir, "busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "book.yml")
	text := "- hosts: all\n  tasks:\n    - copy: {dest: /file, content: x}\n    - command: /busybox touch /made\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := standIn(t, "-D", file, "-i", "a,", "-c", "community.general.chroot", "-e", "ansible_host="+dir)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	for _, name := range []string{"file", "made"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParsePlaybook(f *testing.F) {
	for _, b := range playbooks {
		f.Add([]byte(b.text))
	}
	f.Add([]byte("- hosts: all\n  tasks:\n    - command: [x]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		plays, err := parsePlaybook("book", text)
		if err != nil {
			return
		}
		for _, p := range plays {
			for _, task := range p.Tasks {
				if m, err := task.module(); err != nil || m.name() == "" {
					t.Errorf("%q was accepted and has no module: %v", text, err)
				}
			}
		}
	})
}
