package httpboot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
	"provision.internal/store"
)

func TestInstallGoesThrough(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	session, plan := r.take(t, mac1, secret1)
	r.wantState(t, mac1, host.Installing)
	if plan.Host != "n1" || plan.MAC != mac1 || plan.Disks[0].Serial != "S1" || plan.Disks[0].Size != 20<<30 || plan.FirstBoot.URL != r.HTTPS ||
		plan.FirstBoot.CA != string(r.Authority.PEM()) || plan.FirstBoot.Token == "" {
		t.Errorf("plan = %+v, want n1 on S1 with a first boot", plan)
	}
	h := r.get(t, mac1)
	if !h.Enrolment.Token.Matches(plan.FirstBoot.Token) || h.Inventory == nil || h.UUID != uuid1 {
		t.Errorf("host = %+v, want the token's digest, the inventory and the UUID", h)
	}
	for range 2 { // the second is the repeat of one whose answer got lost
		if status := r.post(t, pathFinished, session, installer.Finished{Seconds: 42}, nil); status != 200 {
			t.Errorf("finished: status %d, want 200", status)
		}
	}
	r.wantState(t, mac1, host.Installed)
	if got := r.events(t, mac1, host.KindState); len(got) != 3 || !strings.Contains(got[2], "42 s") {
		t.Errorf("state events = %q, want three, the last with the time", got)
	}
}

func TestHelloAnswers(t *testing.T) {
	foreign := host.Disk{Name: "sda", Serial: "F1", Size: 20 << 30, Foreign: "LVM2_member"}
	stick := host.Disk{Name: "sdb", Serial: "U1", Size: 1 << 20}
	for _, tt := range []struct {
		name   string
		set    func(*testing.T, *rig)
		disks  []host.Disk
		action installer.Action
		disk   string
		reason string
	}{
		{"an unknown host", func(*testing.T, *rig) {}, disks("S1"), installer.ActionReboot, "", "Seen"},
		{"an unknown host that may linger", func(_ *testing.T, r *rig) { r.Linger = time.Minute }, disks("S1"), installer.ActionWait, "", "admitted"},
		{"one disk", func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", "") }, disks("S1"), installer.ActionInstall, "S1", ""},
		{"one disk and a stick", func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", "") }, append(disks("S1"), stick), installer.ActionInstall, "S1", ""},
		{"no disk", func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", "") }, []host.Disk{stick}, installer.ActionWait, "", "no disk"},
		{"2 disks", func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", "") }, disks("S1", "S2"), installer.ActionWait, "", "--disk"},
		{"two disks, one named", func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", "S2") }, disks("S1", "S2"), installer.ActionInstall, "S2", ""},
		{"two disks of one name", func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", "S1") }, disks("S1", "S1"), installer.ActionWait, "", "2 disks"},
		{"the named disk is not there", func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", "S9") }, disks("S1"), installer.ActionWait, "", "no disk has the serial"},
		{"only a foreign disk", func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", "") }, []host.Disk{foreign}, installer.ActionWait, "", "LVM2_member"},
		{"a foreign disk and a blank one", func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", "") }, append(disks("S1"), foreign), installer.ActionInstall, "S1", ""},
		{"a port that is to be moved", func(t *testing.T, r *rig) {
			r.admit(t, mac1, "n1", "")
			r.put(t, mac1, func(h *host.Host) error { h.Grant.Place = true; return nil })
		}, disks("S1"), installer.ActionWait, "", "its port"},
		{"an expired grant", func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", ""); r.pass(2 * time.Hour) }, disks("S1"), installer.ActionReboot, "", "expired"},
		{"a host that is installed", func(t *testing.T, r *rig) {
			r.admit(t, mac1, "n1", "")
			session, _ := r.take(t, mac1, secret1)
			r.post(t, pathFinished, session, installer.Finished{}, nil)
		}, disks("S1"), installer.ActionReboot, "", "Installed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			tt.set(t, r)
			var w installer.Welcome
			if status := r.post(t, pathHello, "", hello(mac1, secret2, tt.disks...), &w); status != 200 {
				t.Fatalf("hello: status %d, want 200", status)
			}
			if w.Action != tt.action || w.Disk != tt.disk || !strings.Contains(w.Reason, tt.reason) {
				t.Errorf("hello = %+v, want %s of disk %q because %q", w, tt.action, tt.disk, tt.reason)
			}
			if (w.Session != "") != (tt.action == installer.ActionInstall) {
				t.Errorf("session %q with action %s", w.Session, w.Action)
			}
			if h := r.get(t, mac1); h.Inventory == nil || len(h.Inventory.Disks) != len(tt.disks) {
				t.Errorf("inventory = %+v, want what the agent said", h.Inventory)
			}
		})
	}
}

func TestLingeringAgentGivesUp(t *testing.T) {
	r := newRig(t)
	r.Linger = 10 * time.Second
	for _, want := range []installer.Action{installer.ActionWait, installer.ActionWait, installer.ActionReboot} {
		var w installer.Welcome
		r.post(t, pathHello, "", hello(mac1, secret1, disks("S1")...), &w)
		if w.Action != want {
			t.Errorf("hello = %s, want %s", w.Action, want)
		}
		r.pass(6 * time.Second)
	}
}

// A machine that speaks for another one learns nothing and changes nothing.
func TestHelloFromAnotherAddress(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	r.put(t, mac1, func(h *host.Host) error { h.Address = other; return nil })
	before := r.get(t, mac1)
	status := r.post(t, pathHello, "", hello(mac1, secret1, disks("S1")...), nil)
	if after := r.get(t, mac1); status != http.StatusForbidden || after.Inventory != nil || after.State != before.State {
		t.Errorf("hello from another address: status %d, %+v; want 403 and no change", status, after)
	}
	if got := r.events(t, mac1, host.KindNotice); len(got) != 1 || !strings.Contains(got[0], "10.77.0.9") {
		t.Errorf("notices = %q, want one that names the address", got)
	}
}

// The lease of a moment ago may not be in the store yet.
func TestHelloWaitsForTheStoreToLearnTheAddress(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	r.put(t, mac1, func(h *host.Host) error { h.Address = other; return nil })
	r.store.Saw(store.Sighting{MAC: mac1, Address: local})
	r.greet(t, mac1, secret1)
}

func TestHelloOfAnotherMachineHoldsTheHost(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	r.put(t, mac1, func(h *host.Host) error { h.UUID = uuid2; return nil })
	if status := r.post(t, pathHello, "", hello(mac1, secret1, disks("S1")...), nil); status != http.StatusForbidden {
		t.Errorf("hello of another machine: status %d, want 403", status)
	}
	if h := r.get(t, mac1); h.State != host.Seen || h.Grant != nil || !strings.Contains(h.Held, uuid1.String()) {
		t.Errorf("host = %+v, want it held in Seen without a grant", h)
	}
}

func TestHelloAgainKeepsTheSession(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	first := r.greet(t, mac1, secret1)
	if again := r.greet(t, mac1, secret1); again.Session != first.Session {
		t.Error("the same boot of the agent got another session: its reports would be refused")
	}
	if next := r.greet(t, mac1, secret2); next.Session == first.Session {
		t.Error("another boot of the agent got the same session")
	}
	if status := r.post(t, pathReport, first.Session, installer.Report{Sequence: 1}, nil); status != http.StatusForbidden {
		t.Errorf("report with the replaced session: status %d, want 403", status)
	}
}

func TestGrantRefusals(t *testing.T) {
	for _, tt := range []struct {
		name string
		q    installer.TakeGrant
		set  func(t *testing.T, r *rig, session string) string
	}{
		{"another machine's UUID", installer.TakeGrant{Secret: secret1, UUID: uuid2, Disk: "S1"}, nil},
		{"a disk that was not reported", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S2"}, nil},
		{"a disk that appeared since", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S2"},
			func(t *testing.T, r *rig, session string) string {
				r.put(t, mac1, func(h *host.Host) error { h.Inventory.Disks = disks("S1", "S2"); return nil })
				return session
			}},
		{"another disk than the role's", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"},
			func(t *testing.T, r *rig, session string) string {
				r.Targets = func(h host.Host) ([]host.Disk, error) { return []host.Disk{{Serial: "S2"}}, nil }
				return session
			}},
		{"no disk", installer.TakeGrant{Secret: secret1, UUID: uuid1}, nil},
		{"no secret", installer.TakeGrant{UUID: uuid1, Disk: "S1"}, nil},
		{"no session", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"},
			func(*testing.T, *rig, string) string { return "" }},
		{"a made-up session", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"},
			func(*testing.T, *rig, string) string { return newSession(mac1) }},
		{"another host's session", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"},
			func(t *testing.T, r *rig, session string) string {
				return strings.Replace(session, "525400000001", "525400000002", 1)
			}},
		{"an expired grant", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"},
			func(t *testing.T, r *rig, session string) string { r.pass(2 * time.Hour); return session }},
		{"a host that is not in its place", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"},
			func(t *testing.T, r *rig, session string) string {
				r.put(t, mac1, func(h *host.Host) error { h.Grant.Place = true; return nil })
				return session
			}},
		{"a host that has left its port a moment ago", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"},
			func(t *testing.T, r *rig, session string) string {
				r.Confirm = func(_ context.Context, h host.Host) error {
					return fmt.Errorf("%s: %w: it is on port ether9", h.Label(), host.ErrGrant)
				}
				return session
			}},
		{"a grant that names another disk", installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"},
			func(t *testing.T, r *rig, session string) string {
				r.put(t, mac1, func(h *host.Host) error { h.Grant.Disk = "S9"; return nil })
				return session
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.admit(t, mac1, "n1", "")
			r.admit(t, mac2, "n2", "")
			session := r.greet(t, mac1, secret1).Session
			if tt.set != nil {
				session = tt.set(t, r, session)
			}
			if status := r.post(t, pathGrant, session, tt.q, nil); status != http.StatusForbidden {
				t.Errorf("grant: status %d, want 403", status)
			}
			for _, mac := range []host.MAC{mac1, mac2} {
				if h := r.get(t, mac); h.State != host.Admitted || !h.Grant.Burned.IsZero() || h.Enrolment != nil {
					t.Errorf("%s = %+v, want it untouched", h.Label(), h)
				}
			}
		})
	}
}

// The answer to a grant may get lost: the same boot of the agent gets an
// equivalent plan with a fresh token, and any other is refused.
func TestGrantRepeated(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	session, first := r.take(t, mac1, secret1)
	var second installer.Plan
	q := installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"}
	if status := r.post(t, pathGrant, session, q, &second); status != 200 {
		t.Fatalf("repeat: status %d, want 200", status)
	}
	h := r.get(t, mac1)
	if second.FirstBoot.Token == first.FirstBoot.Token || !h.Enrolment.Token.Matches(second.FirstBoot.Token) || !slices.Equal(second.Disks, first.Disks) {
		t.Errorf("repeated plan = %+v, want the same disk with a fresh token", second)
	}
	q.Secret = secret2
	if status := r.post(t, pathGrant, session, q, nil); status != http.StatusForbidden {
		t.Errorf("grant by another claim: status %d, want 403", status)
	}
}

func TestConcurrentClaimsBurnOnce(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	session := r.greet(t, mac1, secret1).Session
	var wg sync.WaitGroup
	var mu sync.Mutex
	plans := 0
	for i := range 16 {
		wg.Go(func() {
			q := installer.TakeGrant{Secret: secret1 + string(rune('a'+i)), UUID: uuid1, Disk: "S1"}
			if r.post(t, pathGrant, session, q, nil) == 200 {
				mu.Lock()
				plans++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if plans != 1 {
		t.Errorf("%d claims got a plan, want 1", plans)
	}
}

func TestPlanThatCannotBeMadeCostsNoGrant(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	session := r.greet(t, mac1, secret1).Session
	r.Plan = func(host.Host, []host.Disk) (installer.Plan, error) {
		return installer.Plan{}, errors.New("password of the role: hunter2")
	}
	status, body := r.raw(t, pathGrant, session, "application/json", `{"secret":"`+secret1+`","uuid":"`+uuid1.String()+`","disk":"S1"}`)
	if status != http.StatusInternalServerError || strings.Contains(body, "hunter2") {
		t.Errorf("grant: %d %s, want 500 without the detail", status, body)
	}
	if h := r.get(t, mac1); !h.Grant.Open(r.clock()) {
		t.Errorf("grant = %+v, want it open", h.Grant)
	}
}

// A router that does not answer costs no grant, and wipes no disk.
func TestUnconfirmedPlaceHasTheAgentAskAgain(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	session := r.greet(t, mac1, secret1).Session
	r.Confirm = func(context.Context, host.Host) error { return errors.New("no route to the router") }
	q := installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"}
	if status := r.post(t, pathGrant, session, q, nil); status != http.StatusInternalServerError {
		t.Errorf("grant: status %d, want 500", status)
	}
	if h := r.get(t, mac1); !h.Grant.Open(r.clock()) {
		t.Errorf("grant = %+v, want it open", h.Grant)
	}
	r.Confirm = func(context.Context, host.Host) error { return nil }
	if status := r.post(t, pathGrant, session, q, nil); status != http.StatusOK {
		t.Errorf("grant: status %d, want 200", status)
	}
}

func TestForeignDiskIsInThePlanOnlyWhenNamed(t *testing.T) {
	for _, named := range []bool{true, false} {
		r := newRig(t)
		r.admit(t, mac1, "n1", "S1")
		r.put(t, mac1, func(h *host.Host) error { h.Grant.Foreign = named; return nil })
		if _, plan := r.take(t, mac1, secret1); plan.Disks[0].Foreign != named {
			t.Errorf("plan.Disks[0].Foreign = %v, want %v", plan.Disks[0].Foreign, named)
		}
	}
}

// A machine that rebooted in the middle has another secret: its disk is half
// written, and it must not be written again without an operator.
func TestHelloAfterARebootInTheMiddleFails(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	session, _ := r.take(t, mac1, secret1)
	r.post(t, pathReport, session, installer.Report{Sequence: 1, Progress: host.Progress{Step: "packages"}}, nil)
	var w installer.Welcome
	r.post(t, pathHello, "", hello(mac1, secret2, disks("S1")...), &w)
	if w.Action != installer.ActionReboot || w.Session != "" {
		t.Errorf("hello = %+v, want a reboot without a session", w)
	}
	h := r.get(t, mac1)
	if h.State != host.Failed || !strings.Contains(h.Failure.Reason, "at step packages") || !strings.Contains(h.Failure.Reason, "provision reinstall n1") {
		t.Errorf("host = %s %+v, want Failed with the step and what to do", h.State, h.Failure)
	}
	if status := r.post(t, pathFinished, session, installer.Finished{}, nil); status != http.StatusForbidden {
		t.Errorf("finished with the old session: status %d, want 403", status)
	}
}

func TestFailed(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	session, _ := r.take(t, mac1, secret1)
	for range 2 {
		if status := r.post(t, pathFailed, session, installer.Failed{Step: "grub", Reason: "no\x1b[2Jspace"}, nil); status != 200 {
			t.Errorf("failed: status %d, want 200", status)
		}
	}
	h := r.get(t, mac1)
	if h.State != host.Failed || !strings.HasPrefix(h.Failure.Reason, "step grub: no[2Jspace; ") || h.Failure.In != host.Installing {
		t.Errorf("host = %s %+v, want Failed in Installing, printable", h.State, h.Failure)
	}
	if status := r.post(t, pathFinished, session, installer.Finished{}, nil); status != http.StatusConflict {
		t.Errorf("finished after failed: status %d, want 409", status)
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		name, path, kind, body string
		want                   int
	}{
		{"no JSON", pathHello, "application/json", "hello", 400},
		{"another type", pathHello, "text/plain", "{}", 415},
		{"an unknown field", pathHello, "application/json", `{"mac":"52:54:00:00:00:01","admin":true}`, 400},
		{"two objects", pathHello, "application/json", `{}{}`, 400},
		{"no MAC", pathHello, "application/json", `{"secret":"` + secret1 + `"}`, 400},
		{"a group address", pathHello, "application/json", `{"mac":"01:00:5e:00:00:01","secret":"` + secret1 + `"}`, 400},
		{"a short secret", pathHello, "application/json", `{"mac":"52:54:00:00:00:01","secret":"x"}`, 400},
		{"a serial that cannot be printed", pathHello, "application/json",
			`{"mac":"52:54:00:00:00:01","secret":"` + secret1 + `","inventory":{"disks":[{"serial":"a\u001b[2J"}]}}`, 400},
		{"too many disks", pathHello, "application/json",
			`{"mac":"52:54:00:00:00:01","secret":"` + secret1 + `","inventory":{"disks":[` + strings.Repeat("{},", maxDevices) + `{}]}}`, 400},
		{"too large", pathHello, "application/json", `{"version":"` + strings.Repeat("x", bodyLimit) + `"}`, 413},
		{"a report that is not counted", pathReport, "application/json", `{}`, 400},
		{"a report of nobody", pathReport, "application/json", `{"sequence":1}`, 403},
		{"no such step", "/agent/v1/shell", "application/json", `{}`, 404},
	} {
		if status, _ := r.raw(t, tt.path, "", tt.kind, tt.body); status != tt.want {
			t.Errorf("%s: status %d, want %d", tt.name, status, tt.want)
		}
	}
	if hosts := r.store.Hosts(); len(hosts) != 0 {
		t.Errorf("%d hosts were made by requests that make no sense", len(hosts))
	}
	q, err := http.NewRequest(http.MethodGet, r.secure.URL+pathHello, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := do(t, q); status != http.StatusMethodNotAllowed {
		t.Errorf("GET hello: status %d, want 405", status)
	}
}
