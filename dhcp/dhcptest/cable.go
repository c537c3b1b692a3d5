package dhcptest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Names of the interfaces at the two ends of a Cable.
const (
	ServerDevice = "srv"
	ClientDevice = "cli"
)

// Cable is an Ethernet cable between two network namespaces: a server is in
// one, its machines are in the other. Nothing leaves them.
type Cable struct {
	Server, Client string // the namespaces
}

var cables atomic.Int32

// NewCable makes a cable, whose server has address. It needs root. The names of
// the namespaces begin with owner and are no other cable's.
func NewCable(owner string, address netip.Prefix) (Cable, error) {
	if os.Geteuid() != 0 {
		return Cable{}, errors.New("network namespaces need root: run as root, or with sudo")
	}
	id := fmt.Sprintf("%d-%d", os.Getpid(), cables.Add(1))
	c := Cable{Server: owner + "-s" + id, Client: owner + "-c" + id}
	for _, args := range [][]string{
		{"netns", "add", c.Server},
		{"netns", "add", c.Client},
		{"link", "add", ServerDevice, "netns", c.Server, "type", "veth", "peer", "name", ClientDevice, "netns", c.Client},
		{"-n", c.Server, "address", "add", address.String(), "dev", ServerDevice},
		{"-n", c.Server, "link", "set", "lo", "up"},
		{"-n", c.Client, "link", "set", "lo", "up"},
		{"-n", c.Server, "link", "set", ServerDevice, "up"},
		{"-n", c.Client, "link", "set", ClientDevice, "up"},
	} {
		if err := IP(args...); err != nil {
			return Cable{}, errors.Join(err, c.Remove())
		}
	}
	if err := c.carries(); err != nil {
		return Cable{}, errors.Join(err, c.Remove())
	}
	return c, nil
}

// carries waits until no end drops what it is to send: the kernel gives a new
// interface its queue a moment after it is up.
func (c Cable) carries() error {
	for namespace, device := range map[string]string{c.Server: ServerDevice, c.Client: ClientDevice} {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			out, err := exec.Command("ip", "-n", namespace, "-o", "link", "show", device).Output()
			if err != nil {
				return fmt.Errorf("look at %s: %w", device, err)
			}
			if strings.Contains(string(out), "state UP") && !strings.Contains(string(out), "qdisc noop ") {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s is not up after 10 s: %s", device, out)
			}
		}
	}
	return nil
}

// Remove takes the namespaces away, and the cable with them.
func (c Cable) Remove() error {
	var errs []error
	for _, name := range []string{c.Server, c.Client} {
		if _, err := os.Stat("/run/netns/" + name); err == nil {
			errs = append(errs, IP("netns", "del", name))
		}
	}
	return errors.Join(errs...)
}

// IP runs the command of that name.
func IP(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Inside runs f in a network namespace. Sockets that f opens and programs that it
// starts stay there; what it starts as a goroutine does not.
func Inside(namespace string, f func() error) error {
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

// onThread does what Inside says, on a locked thread.
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
