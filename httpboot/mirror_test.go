package httpboot

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"provision.internal/host"
	"provision.internal/installer"
)

// A mirror's grant is for its two disks together: no other set of disks is
// written under it, and only when both were named may either be foreign.
func TestGrantOfAMirror(t *testing.T) {
	both := disks("S1", "S2", "S3")[:2]
	for _, tt := range []struct {
		name    string
		named   string
		foreign bool
		asked   string
		status  int
		want    []installer.Disk
	}{
		{"the role's choice", "", false, "S1,S2", http.StatusOK, []installer.Disk{{Serial: "S1", Size: 20 << 30}, {Serial: "S2", Size: 20 << 30}}},
		{"named by the operator", "S1,S2", true, "S1,S2", http.StatusOK, []installer.Disk{{Serial: "S1", Size: 20 << 30, Foreign: true}, {Serial: "S2", Size: 20 << 30, Foreign: true}}},
		{"one half", "", false, "S1", http.StatusForbidden, nil},
		{"another half", "", false, "S1,S3", http.StatusForbidden, nil},
		{"a third", "", false, "S1,S2,S3", http.StatusForbidden, nil},
		{"one disk twice", "", false, "S1,S1", http.StatusForbidden, nil},
		{"the other way round", "S2,S1", true, "S1,S2", http.StatusForbidden, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.Targets = func(host.Host) ([]host.Disk, error) { return both, nil }
			r.admit(t, mac1, "n1", tt.named)
			r.put(t, mac1, func(h *host.Host) error { h.Grant.Foreign = tt.foreign; return nil })
			var w installer.Welcome
			r.post(t, pathHello, "", hello(mac1, secret1, disks("S1", "S2", "S3")...), &w)
			if w.Disk != "S1,S2" {
				t.Fatalf("hello = %+v, want both disks", w)
			}
			var plan installer.Plan
			status := r.post(t, pathGrant, w.Session, installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: tt.asked}, &plan)
			if status != tt.status || !slices.Equal(plan.Disks, tt.want) {
				t.Errorf("grant: status %d and disks %+v, want %d and %+v", status, plan.Disks, tt.status, tt.want)
			}
			h := r.get(t, mac1)
			if burned := !h.Grant.Burned.IsZero(); burned != (tt.want != nil) {
				t.Errorf("the grant is burned: %v", burned)
			}
		})
	}
}

// A machine that cannot be installed as it is shows why, keeps its grant, and
// goes on as soon as it can.
func TestHeldMachineShowsWhy(t *testing.T) {
	r := newRig(t)
	fault := errors.New("it has 8.0 GiB of memory, wanted >= 16GiB")
	r.Targets = func(host.Host) ([]host.Disk, error) { return nil, fault }
	r.admit(t, mac1, "n1", "")
	var w installer.Welcome
	r.post(t, pathHello, "", hello(mac1, secret1, disks("S1")...), &w)
	h := r.get(t, mac1)
	if w.Action != installer.ActionWait || h.Progress.Text != fault.Error() || h.State != host.Admitted || !h.Grant.Open(r.Now()) {
		t.Errorf("hello = %+v and the host is %s with %+v, want it to wait and to say why", w, h.State, h.Progress)
	}
	if status := r.post(t, pathGrant, "", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"}, nil); status == http.StatusOK {
		t.Error("it got a plan in spite of that")
	}
	r.Targets = func(host.Host) ([]host.Disk, error) { return disks("S1"), nil }
	r.post(t, pathHello, "", hello(mac1, secret1, disks("S1")...), &w)
	if h := r.get(t, mac1); w.Action != installer.ActionInstall || h.Progress != (host.Progress{}) {
		t.Errorf("hello = %+v and progress %+v, want it to install", w, h.Progress)
	}
}
