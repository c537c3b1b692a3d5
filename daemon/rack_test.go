package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"provision.internal/dhcp/dhcptest"
	"provision.internal/web"
)

var racks atomic.Int32

// rack is a network namespace for the daemon with a cable to another one for
// machines.
type rack struct {
	tb               testing.TB
	dir              string
	server, machines string
}

func newRack(tb testing.TB) *rack {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root for a network namespace")
	}
	id := fmt.Sprintf("%d-%d", os.Getpid(), racks.Add(1))
	r := &rack{tb: tb, dir: tb.TempDir(), server: "daemons" + id, machines: "daemonm" + id}
	for _, ns := range []string{r.server, r.machines} {
		r.ip("netns", "add", ns)
		tb.Cleanup(func() { r.ip("netns", "del", ns) })
		r.ip("-n", ns, "link", "set", "lo", "up")
	}
	r.ip("link", "add", "rack0", "netns", r.server, "type", "veth", "peer", "name", "nic", "netns", r.machines)
	r.ip("-n", r.server, "address", "add", "10.77.0.1/24", "dev", "rack0")
	r.ip("-n", r.server, "link", "set", "rack0", "up")
	r.ip("-n", r.machines, "link", "set", "nic", "up")
	return r
}

func (r *rack) ip(args ...string) {
	r.tb.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		r.tb.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

// in runs f in a network namespace, on a thread that ends with it.
func (r *rack) in(ns string, f func() error) {
	r.tb.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is of no more use
		fd, err := os.Open("/run/netns/" + ns)
		if err == nil {
			defer fd.Close()
			err = unix.Setns(int(fd.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		r.tb.Fatalf("in %s: %v", ns, err)
	}
}

func (r *rack) config(more string) string {
	settings := strings.Replace(minimal, "interface: rack0}",
		fmt.Sprintf("interface: rack0, state: %[1]s/state, socket: %[1]s/socket%s}", r.dir, more), 1)
	return strings.Replace(settings, "images: {", fmt.Sprintf("images: {repositories: [], cmdline: \"\", loaders: {bios: %s/none}, ", r.dir), 1)
}

func (r *rack) client() *web.Client { return &web.Client{Socket: filepath.Join(r.dir, "socket")} }

// running is a daemon in a process of its own.
type running struct {
	cmd *exec.Cmd
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (r *rack) start(config string) running {
	r.tb.Helper()
	self, err := os.Executable()
	if err != nil {
		r.tb.Fatal(err)
	}
	d := running{cmd: exec.Command("ip", "netns", "exec", r.server, self), log: &lockedBuffer{}}
	d.cmd.Env = append(os.Environ(), configVariable+"="+config)
	d.cmd.Stderr, d.cmd.Stdout = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			_ = d.cmd.Process.Kill() // may have ended
			_ = d.cmd.Wait()         // was killed
		}
		if r.tb.Failed() {
			r.tb.Logf("the daemon's log:\n%s", d.log)
		}
	})
	return d
}

// ready waits until the operators' socket answers.
func (r *rack) ready(d running) {
	r.tb.Helper()
	for {
		if _, err := r.client().Status(r.tb.Context()); err == nil {
			return
		}
		if err := d.cmd.Process.Signal(syscall.Signal(0)); err != nil {
			r.tb.Fatalf("the daemon has ended:\n%s", d.log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (d running) end(sig syscall.Signal) error {
	if err := d.cmd.Process.Signal(sig); err != nil {
		return err
	}
	return d.cmd.Wait()
}

// acquire boots a machine as far as its address.
func (r *rack) acquire(m dhcptest.Machine) (addr net.IP) {
	r.tb.Helper()
	r.in(r.machines, func() error {
		segment, err := dhcptest.Open("nic")
		if err != nil {
			return err
		}
		defer segment.Close()
		// The packets before the daemon listens are lost, as a firmware's are.
		for {
			ctx, cancel := context.WithTimeout(r.tb.Context(), 20*time.Millisecond)
			answer, err := segment.Acquire(ctx, m)
			cancel()
			if err == nil {
				addr = answer.YourIPAddr
				return nil
			}
			if !errors.Is(err, dhcptest.ErrSilence) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
		}
	})
	return addr
}

func (r *rack) get(url string) (body string) {
	r.tb.Helper()
	r.in(r.server, func() error {
		// The connection must be made on this thread: it is in the namespace.
		conn, err := net.Dial("tcp", "10.77.0.1:80")
		if err != nil {
			return err
		}
		defer conn.Close()
		client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		body = string(b)
		return err
	})
	return body
}
