package publish

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHookIsGoodShell(t *testing.T) {
	text := Hook("main", []string{"/usr/bin/provision", "--config", "/etc/it's here.yaml"})
	for _, check := range [][]string{{"sh", "-n"}, {"shellcheck", "-"}} {
		if _, err := exec.LookPath(check[0]); err != nil {
			t.Errorf("%s is not installed: make deps installs it", check[0])
			continue
		}
		cmd := exec.Command(check[0], check[1:]...)
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", check[0], err, out)
		}
	}
}

// A real push calls the command with the words as they were given, the repository
// and the branch, once, and only for that branch.
func TestPushCallsTheHook(t *testing.T) {
	r := playbooks(t)
	dir := t.TempDir()
	bare, said := filepath.Join(dir, "it's a site.git"), filepath.Join(dir, "said")
	r.git("clone", "--quiet", "--bare", r.dir, bare)
	command := filepath.Join(dir, "call me")
	if err := os.WriteFile(command, []byte("#!/bin/sh\nfor word; do echo \"$word\"; done >>'"+said+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	branch := "it's/$HOME"
	if err := os.WriteFile(filepath.Join(bare, "hooks/post-receive"), []byte(Hook(branch, []string{command, "$(x)", "it's"})), 0o700); err != nil {
		t.Fatal(err)
	}
	r.git("push", "--quiet", bare, "HEAD:refs/heads/other", "HEAD:refs/tags/"+branch)
	if b, err := os.ReadFile(said); err == nil {
		t.Fatalf("another branch called the command: %s", b)
	}
	r.git("push", "--quiet", bare, "HEAD:refs/heads/"+branch, "HEAD:refs/heads/third")
	r.git("push", "--quiet", bare, ":refs/heads/"+branch)
	b, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"$(x)", "it's", bare, "--revision", "refs/heads/" + branch}
	if got := strings.Split(strings.TrimSpace(string(b)), "\n"); !slices.Equal(got, want) {
		t.Errorf("the command was called with %q, want %q", got, want)
	}
}
