package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Names and addresses of the two sides. The network is as wide as it is so that a
// pool of any size fits.
const (
	serverAddress = "10.0.0.1"
	clientAddress = "10.0.0.2"
	prefixBits    = "/8"
	serverDevice  = "vs0"
	clientDevice  = "vc0"
)

// wire is two network namespaces that a veth pair joins: servers in one, load in the
// other. Nothing leaves them.
type wire struct {
	server, client string
}

// namesOf gives the names for a process, so that several runs do not meet.
func namesOf(pid int) *wire {
	return &wire{server: fmt.Sprintf("bench-s-%d", pid), client: fmt.Sprintf("bench-c-%d", pid)}
}

// newWire makes both namespaces and the pair.
func newWire(ctx context.Context) (*wire, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root: run as root, or with sudo")
	}
	w := namesOf(os.Getpid())
	steps := [][]string{
		{"netns", "add", w.server},
		{"netns", "add", w.client},
		{"link", "add", serverDevice, "address", "02:00:00:00:00:01", "netns", w.server,
			"type", "veth", "peer", "name", clientDevice, "address", "02:00:00:00:00:02", "netns", w.client},
		{"-n", w.server, "addr", "add", serverAddress + prefixBits, "dev", serverDevice},
		{"-n", w.client, "addr", "add", clientAddress + prefixBits, "dev", clientDevice},
		{"-n", w.server, "link", "set", "lo", "up"},
		{"-n", w.client, "link", "set", "lo", "up"},
		{"-n", w.server, "link", "set", serverDevice, "up"},
		{"-n", w.client, "link", "set", clientDevice, "up"},
	}
	for _, args := range steps {
		if err := ip(ctx, args...); err != nil {
			w.remove()
			return nil, err
		}
	}
	return w, nil
}

// remove takes the namespaces away, and the pair with them.
func (w *wire) remove() error {
	var errs []error
	for _, name := range []string{w.server, w.client} {
		if _, err := os.Stat("/run/netns/" + name); err == nil {
			errs = append(errs, ip(context.Background(), "netns", "del", name))
		}
	}
	return errors.Join(errs...)
}

// inside runs f in a namespace. Sockets that f opens stay there; what f starts as
// a goroutine does not.
func inside(namespace string, f func() error) error {
	target, err := os.Open("/run/netns/" + namespace)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer target.Close()
	// The namespace is the thread's. One that cannot be taken back stays locked,
	// and the runtime ends it with its goroutine.
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- onThread(target, f)
	}()
	return <-result
}

// onThread does what inside says, on a locked thread.
func onThread(target *os.File, f func() error) error {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", target.Name(), err)
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leave network namespace %s: %w", target.Name(), back))
	}
	runtime.UnlockOSThread()
	return err
}

// ip runs the command of that name.
func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
