package bootstrap

import (
	"errors"
	"testing"

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
