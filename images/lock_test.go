package images_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/images"
)

// While one process works on the store, another one waits, takes nothing away from
// it, and can be stopped.
func TestStoreIsWorkedOnByOne(t *testing.T) {
	srv, r := upstream(t)
	srv.Cut, srv.Freeze = 100<<10, time.Minute
	dir := t.TempDir()
	first, err := images.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	arriving, done := make(chan bool, 1), make(chan error, 1)
	f := &images.Fetcher{Progress: func(string, int64, int64) {
		select {
		case arriving <- true:
		default:
		}
	}}
	go func() {
		_, err := first.Pull(ctx, r, "x86_64", f)
		done <- err
	}()
	<-arriving
	writing := filepath.Join(dir, "release", ".new-1")
	if err := os.WriteFile(writing, []byte("being written"), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := images.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(writing); err != nil {
		t.Errorf("another process removed what is being written: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := second.Collect(short, images.Keep{}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another provision that works on") {
		t.Errorf("Collect meanwhile: %v, want it to have waited", err)
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Pull: %v", err)
	}
	if _, err := second.Collect(t.Context(), images.Keep{}); err != nil {
		t.Errorf("Collect afterwards: %v", err)
	}
	if left := tree(t, dir); len(left) != 1 || left[0] != "lock" {
		t.Errorf("left %q, want the lock alone", left)
	}
}
