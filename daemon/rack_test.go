package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"provision.internal/dhcp/dhcptest"
	"provision.internal/web"
)

// rack is the daemon's folder, and a cable to its machines.
type rack struct {
	tb    testing.TB
	dir   string
	cable dhcptest.Cable
}

func newRack(tb testing.TB) *rack {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root for a network namespace")
	}
	cable, err := dhcptest.NewCable("daemon", netip.MustParsePrefix("10.77.0.1/24"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := cable.Remove(); err != nil {
			tb.Error(err)
		}
	})
	return &rack{tb: tb, dir: tb.TempDir(), cable: cable}
}

func (r *rack) in(ns string, f func() error) {
	r.tb.Helper()
	if err := dhcptest.Inside(ns, f); err != nil {
		r.tb.Fatalf("in %s: %v", ns, err)
	}
}

func (r *rack) config(more string) string {
	settings := strings.Replace(minimal, "interface: rack0}",
		fmt.Sprintf("interface: srv, state: %[1]s/state, socket: %[1]s/socket%s}", r.dir, more), 1)
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
	d := running{cmd: exec.Command("ip", "netns", "exec", r.cable.Server, self), log: &lockedBuffer{}}
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
	r.in(r.cable.Client, func() error {
		segment, err := dhcptest.Open(dhcptest.ClientDevice)
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
	r.in(r.cable.Server, func() error {
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
