package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hello needs a disk to tell of, and no machine waits for one for ever.
func TestAwaitDisk(t *testing.T) {
	for name, c := range map[string]struct {
		disk     bool
		min, max time.Duration
	}{
		"a disk":  {true, 0, time.Second},
		"no disk": {false, 5 * time.Second, 10 * time.Second},
	} {
		m := newMachine(t)
		if c.disk {
			m.addDisk("vda", "DISK1")
		}
		m.system().awaitDisk(t.Context())
		if m.waited < c.min || m.waited > c.max {
			t.Errorf("%s: waited %s, want %s to %s", name, m.waited, c.min, c.max)
		}
	}
}

// A bus may show its devices only after the first look.
func TestLateDevicesGetDrivers(t *testing.T) {
	m := newMachine(t)
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	dir := "/lib/modules/" + unix.ByteSliceToString(uts.Release[:])
	m.put(dir+"/modules.dep", "kernel/late.ko:\n")
	m.put(dir+"/modules.alias", "alias usb:late late\n")
	said := make(chan string, 1)
	sys := m.system()
	looks := 0
	sys.Wait = func(context.Context, time.Duration) error {
		if looks++; looks > 1 {
			return context.Canceled
		}
		m.put("/sys/kernel/uevent_seqnum", "7")
		m.put("/sys/bus/usb/devices/1-1/modalias", "usb:late\n")
		return nil
	}
	loadDrivers(t.Context(), sys, &Log{Console: writerFunc(func(b []byte) (int, error) {
		select {
		case said <- string(b):
		default:
		}
		return len(b), nil
	})})
	// There is no such file, which is told: so it was asked for.
	if line := <-said; !strings.Contains(line, "load the module late") {
		t.Errorf("the first word is %q, want that the late device's module cannot be loaded", line)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Quiet is counted from the last device.
func TestSettle(t *testing.T) {
	m := newMachine(t)
	sys := m.system()
	looks := 0
	sys.Wait = func(context.Context, time.Duration) error {
		if looks++; looks <= 3 {
			m.put("/sys/kernel/uevent_seqnum", string(rune('0'+looks)))
		}
		return nil
	}
	if err := sys.settle(t.Context(), 2*devicesPoll); err != nil || looks != 5 {
		t.Errorf("settle = %v after %d looks, want 5: three with news and two quiet ones", err, looks)
	}
	sys.Wait = func(context.Context, time.Duration) error {
		looks++
		m.put("/sys/kernel/uevent_seqnum", time.Duration(looks).String())
		return nil
	}
	if err := sys.settle(t.Context(), time.Second); err != nil {
		t.Errorf("settle = %v with hardware that never rests", err)
	}
}
