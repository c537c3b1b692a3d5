package web_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/web"
)

func TestListenReplacesOnlyAStaleSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := web.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket's mode is %v (%v), want 0660", info.Mode().Perm(), err)
	}
	if _, err := web.Listen(path); !errors.Is(err, web.ErrInUse) {
		t.Errorf("Listen on a socket in use = %v, want ErrInUse", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as kill -9 leaves it
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = web.Listen(path)
	if err != nil {
		t.Fatalf("Listen on a stale socket: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := web.Listen(file); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("Listen on a file = %v, want a refusal", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "data" {
		t.Errorf("the file holds %q (%v), want it untouched", b, err)
	}
	if _, err := web.Listen(filepath.Join(dir, "missing", "s")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Listen in a missing folder = %v, want ErrNotExist", err)
	}
}

func TestClientSaysWhatToDoWithoutADaemon(t *testing.T) {
	c := &web.Client{Socket: filepath.Join(t.TempDir(), "s")}
	_, err := c.Hosts(t.Context())
	if !errors.Is(err, web.ErrUnreachable) || !strings.Contains(err.Error(), "provision serve") {
		t.Errorf("Hosts = %v, want ErrUnreachable and the command that starts the daemon", err)
	}
}
