package bootstrap

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/router/commit"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

func TestFromNetinstallToTheSite(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.install()
	var asked ros.Pin
	take := r.takeover()
	take.Trust = func(p ros.Pin) error { asked = p; return nil }
	done, err := take.Run(t.Context(), nil)
	if err != nil || done.Outcome != commit.Confirmed {
		t.Fatalf("Run = %+v, %v", done, err)
	}
	if pin := ros.Pin(r.router.Pin()); asked != pin {
		t.Errorf("asked about %v, want %v", asked, pin)
	}
	if kept, err := ReadPin(r.dir); err != nil || kept != asked {
		t.Errorf("kept %v, %v, want %v", kept, err, asked)
	}
	if left := r.left(); left != nil {
		t.Errorf("of the way in there is still %v", left)
	}
	if _, ok := r.rows("/interface/bridge/port", "provision:")["port/ether1"]; !ok {
		t.Error("ether1 is no port of the bridge")
	}
	// Again, by another appliance that knows the pin: nothing to do, nobody asked.
	again := r.takeover()
	again.Trust = func(ros.Pin) error { return errors.New("asked again") }
	if done, err := again.Run(t.Context(), nil); err != nil || done.Outcome != commit.Unchanged {
		t.Errorf("again: %+v, %v; want nothing to do", done, err)
	}
}

// Nothing of ours goes to a router whose certificate nobody has vouched for.
func TestTheOperatorVouchesForTheCertificate(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.install()
	before := r.router.Snapshot()
	no := errors.New("that is another router")
	for name, change := range map[string]func(*Takeover){
		"refused":        func(take *Takeover) { take.Trust = func(ros.Pin) error { return no } },
		"nobody to ask":  func(take *Takeover) { take.Trust = nil },
		"another one":    func(take *Takeover) { take.Pin = ros.Pin{1} },
		"configured":     func(take *Takeover) { take.Config.Certificate = ros.Pin{1} },
		"another asked":  func(take *Takeover) { take.Pin, take.Anew = ros.Pin{1}, true },
		"wrong password": func(take *Takeover) { take.Password = func() (string, error) { return "x", nil } },
		"no password":    func(take *Takeover) { take.Password = func() (string, error) { return "", no } },
	} {
		take, want := r.takeover(), ros.ErrPin
		take.Dir = t.TempDir()
		change(take)
		switch name {
		case "wrong password":
			want = ros.ErrLogin
		case "no password":
			want = no
		}
		if _, err := take.Run(t.Context(), nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if kept, err := ReadPin(take.Dir); err != nil || !kept.IsZero() && name != "wrong password" {
			t.Errorf("%s: %v is kept, %v", name, kept, err)
		}
	}
	if after := r.router.Snapshot(); after != before {
		t.Errorf("the router has changed from\n%s\nto\n%s", before, after)
	}
}

// A pin that the operator names needs no question and is kept.
func TestNamedCertificate(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.install()
	if err := WritePin(r.dir, ros.Pin{9}); err != nil {
		t.Fatal(err)
	}
	take := r.takeover()
	if _, err := take.Run(t.Context(), nil); !errors.Is(err, ros.ErrPin) {
		t.Fatalf("with another router's pin kept: %v, want ErrPin", err)
	}
	take.Pin, take.Trust = ros.Pin(r.router.Pin()), nil
	if done, err := take.Run(t.Context(), nil); err != nil || done.Outcome != commit.Confirmed {
		t.Fatalf("Run = %+v, %v", done, err)
	}
	if kept, err := ReadPin(r.dir); err != nil || kept != take.Pin {
		t.Errorf("kept %v, %v, want %v", kept, err, take.Pin)
	}
}

// A reset router has its script run again, and another certificate.
func TestAgainAfterAReset(t *testing.T) {
	old := newRig(t, routertest.Config{})
	old.install()
	if _, err := old.takeover().Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, routertest.Config{})
	r.dir = old.dir
	r.install()
	take := r.takeover()
	if _, err := take.Run(t.Context(), nil); !errors.Is(err, ros.ErrPin) {
		t.Errorf("with the old certificate kept: %v, want ErrPin", err)
	}
	take.Anew = true
	if done, err := take.Run(t.Context(), nil); err != nil || done.Outcome != commit.Confirmed {
		t.Fatalf("anew: %+v, %v", done, err)
	}
	if kept, err := ReadPin(r.dir); err != nil || kept != ros.Pin(r.router.Pin()) {
		t.Errorf("kept %v, %v", kept, err)
	}
}

// The appliance's cable is in the port of the way in, and nobody moves it: the
// router keeps the way in, and the next run goes on from there.
func TestTheProductionAddressMustBeProven(t *testing.T) {
	r := newRig(t, routertest.Config{ManagementPort: "ether1"})
	r.install()
	take := r.takeover()
	take.Within = 6 * time.Second
	var told []string
	_, err := take.Run(t.Context(), func(s commit.Step) { told = append(told, s.Text) })
	if !errors.Is(err, ErrNotProven) || !strings.Contains(err.Error(), "lan0") {
		t.Fatalf("Run = %v, want ErrNotProven and the VLAN", err)
	}
	if !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, "move it to a port with VLAN lan0") }) {
		t.Errorf("nobody was told to move the cable: %q", told)
	}
	if left := r.left(); len(left) != 6 {
		t.Errorf("of the way in there is %v, want all six rows", left)
	}
	if _, ok := r.rows("/interface/bridge/port", "provision:")["port/ether1"]; ok {
		t.Error("ether1 is a port of the bridge: the way in is dead")
	}
	if err := take.try(t.Context(), take.bootstrap(ros.Pin(r.router.Pin()))); err != nil {
		t.Errorf("the bootstrap address: %v", err)
	}
	before := r.router.Snapshot()
	if _, err := take.Run(t.Context(), nil); !errors.Is(err, ErrNotProven) {
		t.Errorf("again: %v, want ErrNotProven", err)
	}
	if after := r.router.Snapshot(); after != before {
		t.Errorf("the second run has changed\n%s\ninto\n%s", before, after)
	}
}

// Whoever shares the router waits until it is taken over, and is told why.
func TestNobodyElseHasATurnMeanwhile(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.install()
	take := r.takeover()
	take.Device = &ros.Device{Dialer: take.production(ros.Pin(r.router.Pin()))}
	tried := false
	_, err := take.Run(t.Context(), func(s commit.Step) {
		if tried || s.Total == 0 {
			return
		}
		tried = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := take.Device.Exclusive(ctx, "port", func(*ros.Conn) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "taking the router over") {
			t.Errorf("a turn in the middle: %v, want to wait for the takeover", err)
		}
	})
	if err != nil || !tried {
		t.Errorf("Run = %v; tried %v", err, tried)
	}
}

func TestNoWayIn(t *testing.T) {
	if _, err := new(Takeover).Run(t.Context(), nil); !errors.Is(err, ErrNoWayIn) {
		t.Errorf("Run = %v, want ErrNoWayIn", err)
	}
	r := newRig(t, routertest.Config{})
	take := r.takeover()
	r.router.Close()
	if _, err := take.Run(t.Context(), nil); !errors.Is(err, ros.ErrNoRoute) {
		t.Errorf("nobody there: %v, want ErrNoRoute", err)
	}
	if err := WritePin(r.dir, ros.Pin{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := take.Run(t.Context(), nil); !errors.Is(err, ros.ErrNoRoute) || !strings.Contains(err.Error(), "production address") {
		t.Errorf("nobody at either address: %v, want both told", err)
	}
}

func TestKeptPin(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "router")
	if pin, err := ReadPin(dir); err != nil || !pin.IsZero() {
		t.Errorf("nothing kept: %v, %v", pin, err)
	}
	for _, pin := range []ros.Pin{{1}, {2}} {
		if err := WritePin(dir, pin); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadPin(dir); err != nil || got != pin {
			t.Errorf("kept %v, %v, want %v", got, err, pin)
		}
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("the folder has %v, %v, want one file", all, err)
	}
	if err := os.WriteFile(filepath.Join(dir, pinFile), []byte("half of a pi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pin, err := ReadPin(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a broken file: %v, %v, want an error that names it", pin, err)
	}
}
