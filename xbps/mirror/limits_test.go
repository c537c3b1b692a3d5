package mirror_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"provision.internal/xbps/mirror"
)

// smallDisk mounts a file system of so many bytes on dir.
func smallDisk(t *testing.T, dir string, size int) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

// The size of a file is nothing that the mirror's memory depends on.
func TestMemoryIsBounded(t *testing.T) {
	const size, clients, limit = 192 << 20, 10, 48 << 20
	u := newUpstream(t)
	u.publish("current", "foo-1.0_1", size)
	s := newSite(t, u)
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	var most atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&now)
				most.Store(max(most.Load(), now.HeapAlloc))
			}
		}
	}()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			res, err := http.Get(s.front.URL + "/" + fooFile)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	wg.Wait()
	close(stop)
	<-stopped
	if grown := int64(most.Load()) - int64(before.HeapAlloc); grown > limit {
		t.Errorf("the heap grew by %d MiB for a file of %d MiB and %d clients", grown>>20, size>>20, clients)
	}
}

func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts a small file system: needs root")
	}
	u := newUpstream(t)
	small := u.publish("current", "small-1.0_1", 100_000)
	u.publish("current", "foo-1.0_1", 8<<20)
	dir := t.TempDir()
	smallDisk(t, dir, 4<<20)
	s := newSite(t, u, func(c *mirror.Config) { c.Dir = dir })
	s.want("current/small-1.0_1.x86_64.xbps", small)
	s.refused(fooFile, http.StatusInsufficientStorage)
	if !s.told("the disk is full") {
		t.Errorf("notices %q", s.texts())
	}
	if _, incoming := s.kept(); incoming != 0 {
		t.Errorf("%d files were left", incoming)
	}
	s.want("current/small-1.0_1.x86_64.xbps", small)
}
