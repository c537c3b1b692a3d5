package ansible

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/host"
	"provision.internal/nomad/nomadtest"
)

// chroot is a system that Ansible can configure: the tests' own programs, and a
// few folders that can be written. It is a mount namespace of one run of the
// command that is returned.
func chroot(t *testing.T) (root, command string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: Ansible's chroot connection and mount namespaces")
	}
	for _, tool := range []string{"ansible-playbook", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: Debian's packages ansible and util-linux", tool)
		}
	}
	root = t.TempDir()
	for _, dir := range []string{"usr", "dev", "proc", "etc", "root", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+link, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	write(t, root, "etc/group", "root:x:0:\n")
	command = write(t, t.TempDir(), "playbook", `#!/bin/sh
set -e
if [ -z "$INSIDE" ]; then
  INSIDE=1 exec unshare --mount --propagation private "$0" "$@"
fi
for dir in usr dev proc; do mount --rbind /$dir "`+root+`/$dir"; done
exec ansible-playbook "$@"
`)
	if err := os.Chmod(command, 0o755); err != nil {
		t.Fatal(err)
	}
	return root, command
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

const basePlay = `
- name: everything
  hosts: all
  gather_facts: false
  tasks:
    - name: greet
      copy: {content: "hello {{ inventory_hostname }}\n", dest: /etc/motd}
    - name: ignored
      command: "false"
      ignore_errors: true
      changed_when: false
    - block:
        - name: rescued
          command: "false"
      rescue:
        - name: rescue
          debug: {msg: well}
`

// Debian's Ansible configures a chroot by way of the cluster, and what it says is
// what comes out.
func TestRealAnsible(t *testing.T) {
	root, command := chroot(t)
	dir := t.TempDir()
	write(t, dir, "ansible.cfg", "[defaults]\ninventory = inventory\ninterpreter_python = /usr/bin/python3\n")
	write(t, dir, "inventory", "node1\nnode2\n")
	write(t, dir, "base.yml", basePlay)
	write(t, dir, "broken.yml", "- name: repository\n  hosts: all\n  gather_facts: false\n  tasks:\n    - name: reach the mirror\n      fail: {msg: the mirror is away}\n    - name: never\n      debug: {msg: x}\n")
	write(t, dir, "secret.yml", "- name: secrets\n  hosts: all\n  gather_facts: false\n  tasks:\n    - name: token\n      copy: {content: hunter2, dest: /etc/token}\n    - name: quiet\n      fail: {msg: hunter2}\n      no_log: true\n")
	write(t, dir, "away.yml", "- name: away\n  hosts: all\n  gather_facts: false\n  vars: {ansible_connection: ssh, ansible_port: 1}\n  tasks:\n    - name: knock\n      ping:\n")
	write(t, dir, "syntax.yml", "- hosts: all\n  tasks:\n    - nosuchmodule: {}\n")

	cfg := Config{Driver: RawExec, Directory: dir, Root: root, Command: command}
	r := serve(t, cfg, &nomadtest.Client{Name: "node1", Task: nomadtest.RawExec{Dir: t.TempDir()}.Run})
	attempt := 0
	run := func(check bool, playbooks ...string) ([]Outcome, error) {
		attempt++
		return r.Run(within(t), Target{Host: "node1"}, Run{Attempt: string(rune('a' + attempt)), Commit: "c1", Check: check, Playbooks: playbooks})
	}
	motd := filepath.Join(root, "etc/motd")
	totals := func(changed int) host.Totals { return host.Totals{OK: 3, Changed: changed, Rescued: 1, Ignored: 1} }

	got, err := run(true, "base.yml")
	if err != nil {
		t.Fatalf("a check: %v\n%s", err, show(got))
	}
	if _, err := os.Stat(motd); err == nil {
		t.Error("the check has written /etc/motd")
	}
	if c := got[0].Recap; c == nil || len(c.Changes) != 1 || c.Changes[0] != (Change{Play: "everything", Task: "greet", Host: "node1"}) {
		t.Errorf("a check tells of %+v, want the task that would change something", c)
	}
	got, err = run(false, "base.yml", "base.yml")
	if err != nil || len(got) != 2 {
		t.Fatalf("Run: %v\n%s", err, show(got))
	}
	for i, o := range got {
		if o.Recap == nil || o.Recap.Totals() != totals(1-i) || len(o.Recap.Failures) != 0 || len(o.Recap.Changes) != 1-i {
			t.Errorf("run %d: recap %+v, want %+v\n%s", i, o.Recap, totals(1-i), show(got))
		}
		if o.Began.IsZero() || o.Ended.Before(o.Began) {
			t.Errorf("it ran from %s to %s", o.Began, o.Ended)
		}
	}
	if b, err := os.ReadFile(motd); err != nil || string(b) != "hello node1\n" {
		t.Errorf("/etc/motd has %q (%v)", b, err)
	}
	for _, bad := range []struct {
		playbook string
		recap    host.Totals
		want     []string
	}{
		{"broken.yml", host.Totals{Failed: 1}, []string{"playbook broken.yml:", `task "reach the mirror" of play "repository" failed: the mirror is away`}},
		{"secret.yml", host.Totals{OK: 1, Changed: 1, Failed: 1}, []string{`task "quiet"`}},
		{"away.yml", host.Totals{Unreachable: 1}, []string{`task "knock" of play "away" did not reach the host: `}},
		{"syntax.yml", host.Totals{}, []string{"exit code 4", "nosuchmodule"}},
		{"missing.yml", host.Totals{}, []string{"there is no such playbook in this commit"}},
	} {
		got, err := run(false, bad.playbook, "base.yml")
		if err == nil || len(got) != 1 || got[0].Failure == "" {
			t.Fatalf("%s: %v, want it to fail and nothing after it\n%s", bad.playbook, err, show(got))
		}
		for _, want := range bad.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q\n%s", bad.playbook, err, want, show(got))
			}
		}
		if strings.Contains(err.Error()+show(got), "hunter2") {
			t.Errorf("%s tells a secret: %v\n%s", bad.playbook, err, show(got))
		}
		if sum := (Recap{}).Totals(); got[0].Recap != nil {
			if sum = got[0].Recap.Totals(); sum != bad.recap {
				t.Errorf("%s: recap %+v, want %+v", bad.playbook, sum, bad.recap)
			}
		} else if bad.recap != sum {
			t.Errorf("%s left no recap", bad.playbook)
		}
	}
}

// A host that the inventory does not know under its node name.
func TestRealAnsibleUnknownHost(t *testing.T) {
	root, command := chroot(t)
	dir := t.TempDir()
	write(t, dir, "inventory", "node2\n")
	write(t, dir, "base.yml", basePlay)
	r := serve(t, Config{Driver: RawExec, Directory: dir, Root: root, Command: command, Arguments: []string{"-i", "inventory"}}, &nomadtest.Client{Name: "node1", Task: nomadtest.RawExec{Dir: t.TempDir()}.Run})
	got, err := r.Run(within(t), Target{Host: "node1"}, Run{Attempt: "a", Playbooks: []string{"base.yml"}})
	if err == nil || !strings.Contains(err.Error(), "the inventory does not have this host under its node name") {
		t.Errorf("Run: %v\n%s", err, show(got))
	}
}

// Without an inventory the folder is meant for each host alone.
func TestRealAnsibleWithoutInventory(t *testing.T) {
	root, command := chroot(t)
	dir := t.TempDir()
	write(t, dir, "base.yml", basePlay)
	r := serve(t, Config{Driver: RawExec, Directory: dir, Root: root, Command: command}, &nomadtest.Client{Name: "node7", Task: nomadtest.RawExec{Dir: t.TempDir()}.Run})
	got, err := r.Run(within(t), Target{Host: "node7"}, Run{Attempt: "a", Playbooks: []string{"base.yml"}})
	if err != nil || got[0].Recap == nil || got[0].Recap.Hosts["node7"].Changed != 1 {
		t.Errorf("Run: %v\n%s", err, show(got))
	}
}
