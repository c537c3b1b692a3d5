package host

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestStage(t *testing.T) {
	want := map[State]Stage{
		"": StageIdle, Seen: StageIdle, Retired: StageIdle, Failed: "",
		Admitted: StageInstall, Installing: StageInstall, Installed: StageInstall, Booted: StageInstall, Joined: StageInstall,
		Configured: StageProduction, Ready: StageProduction,
	}
	for _, s := range append(Journey(), Failed, Retired, "") {
		stage, ok := want[s]
		if got := (Host{State: s}).Stage(); !ok || got != stage {
			t.Errorf("Stage of a host that is %q = %q, want %q", s, got, stage)
		}
	}
}

func TestInPlace(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Host)
		want   bool
	}{
		{"moved since", func(*Host) {}, true},
		{"no grant", func(h *Host) { h.Grant = nil }, true},
		{"a grant that asks for no port", func(h *Host) { h.Grant.Place, h.Placed = false, nil }, true},
		{"not moved", func(h *Host) { h.Placed = nil }, false},
		{"being moved", func(h *Host) { h.Placed.Stage = "" }, false},
		{"in production", func(h *Host) { h.Placed.Stage = StageProduction }, false},
		{"another port", func(h *Host) { h.Placed.Port = "ether8" }, false},
		{"a port that is not known", func(h *Host) { h.Grant.Port = "" }, false},
		{"moved for an earlier grant", func(h *Host) { h.Placed.Since = t0.Add(-1) }, false},
	} {
		h := admitted()
		h.Grant.Made, h.Grant.Place, h.Grant.Port = t0, true, "ether7"
		h.Placed = &Placement{Port: "ether7", Stage: StageInstall, Since: t0}
		tt.change(&h)
		if got := h.InPlace(); got != tt.want {
			t.Errorf("%s: InPlace = %v, want %v", tt.name, got, tt.want)
		}
		if _, _, err := h.Burn(claim, t0); h.Grant != nil && (err == nil) != tt.want || err != nil && !errors.Is(err, ErrGrant) {
			t.Errorf("%s: Burn: %v; want it only in place", tt.name, err)
		}
	}
}

func TestFoundAt(t *testing.T) {
	here, there := Place{Port: "ether7"}, Place{Port: "ether9"}
	for _, tt := range []struct {
		name           string
		change         func(*Host)
		place          Place
		port, granted  string // afterwards
		state          State
		strayed, tells bool
	}{
		{"where it was admitted", func(*Host) {}, here, "ether7", "ether7", Admitted, false, false},
		{"for the first time", func(h *Host) { h.Grant.Port = "" }, here, "ether7", "ether7", Admitted, false, false},
		{"elsewhere", func(*Host) {}, there, "ether9", "", Seen, true, false},
		{"elsewhere, being installed", func(h *Host) { h.State = Installing }, there, "ether9", "ether7", Installing, false, true},
		{"elsewhere, at work", func(h *Host) { h.State = Ready }, there, "ether9", "ether7", Ready, false, true},
		{"elsewhere still", func(h *Host) { h.State, h.Port = Ready, "ether9" }, there, "ether9", "ether7", Ready, false, false},
		{"at work since before there was a router", func(h *Host) { h.State, h.Grant.Port = Ready, "" }, there, "ether9", "", Ready, false, false},
		{"a stranger", func(h *Host) { h.State, h.Grant = Seen, nil }, there, "ether9", "", Seen, false, false},
		{"on several ports", func(*Host) {}, Place{Doubt: "two ports"}, "", "ether7", Admitted, false, false},
		{"among others", func(*Host) {}, Place{Port: "ether7", Doubt: "a crowd"}, "ether7", "ether7", Admitted, false, false},
		{"told by its port alone, among others", func(h *Host) { h.Grant.ByPort = true }, Place{Port: "ether7", Doubt: "a crowd"}, "", "", Seen, false, false},
	} {
		h := admitted()
		h.Grant.Port = "ether7"
		tt.change(&h)
		before := h.Clone()
		got, notice, err := h.FoundAt(tt.place, t0)
		granted := ""
		if got.Grant != nil {
			granted = got.Grant.Port
		}
		if err != nil || got.Port != tt.port || granted != tt.granted || got.State != tt.state || got.Strayed != tt.strayed || (notice != "") != tt.tells {
			t.Errorf("%s: FoundAt = %+v %+v, %q, %v", tt.name, got, got.Grant, notice, err)
		}
		if held := got.State == Seen && before.State == Admitted; held != (got.Held != "") || held && got.Grant != nil {
			t.Errorf("%s: held for %q with %+v", tt.name, got.Held, got.Grant)
		}
		if before.Grant != nil && *h.Grant != *before.Grant {
			t.Errorf("%s: FoundAt changed the host that it was asked of", tt.name)
		}
	}
}

func TestOwns(t *testing.T) {
	for _, tt := range []struct {
		h    Host
		want bool
	}{
		{Host{State: Ready, Port: "ether7"}, true}, {Host{State: Failed, Grant: &Grant{Port: "ether7"}}, true},
		{Host{State: Admitted, Placed: &Placement{Port: "ether7"}}, true}, {Host{State: Ready, Port: "ether8"}, false},
		{Host{State: Seen, Port: "ether7"}, false}, {Host{State: Retired, Port: "ether7", Placed: &Placement{Port: "ether7"}}, false}, {Host{}, false},
	} {
		if got := tt.h.Owns("ether7"); got != tt.want {
			t.Errorf("%+v owns ether7: %v, want %v", tt.h, got, tt.want)
		}
	}
}

// Every fact that says that somebody has had to do with the machine.
func TestStranger(t *testing.T) {
	if !(Host{MAC: MAC{1}, State: Seen, Port: "ether7", UUID: known, Inventory: &Inventory{}}).Stranger() {
		t.Error("a machine that was only seen is no stranger")
	}
	for _, change := range []func(*Host){
		func(h *Host) { h.State = Failed }, func(h *Host) { h.State = Retired }, func(h *Host) { h.State = "" }, func(h *Host) { h.Name = "n" },
		func(h *Host) { h.Held = "x" }, func(h *Host) { h.Grant = &Grant{} }, func(h *Host) { h.Enrolment = &Enrolment{} },
		func(h *Host) { h.Placed = &Placement{} }, func(h *Host) { h.Snapshot = "x" }, func(h *Host) { h.Node = "x" },
	} {
		h := Host{MAC: MAC{1}, State: Seen}
		change(&h)
		if h.Stranger() {
			t.Errorf("%+v is a stranger", h)
		}
		if _, err := (Admission{Port: "ether7", Expires: t0.Add(time.Hour)}).Take(h, "g", t0); !errors.Is(err, ErrGrant) {
			t.Errorf("%+v takes an admission: %v", h, err)
		}
	}
}

func TestUnfit(t *testing.T) {
	a := Admission{Port: "ether7", Name: "n7", Made: t0, Expires: t0.Add(time.Hour)}
	for _, tt := range []struct {
		name   string
		change func(*Host, *Place)
		others []Host
		at     time.Time
		why    string
	}{
		{"asked since", func(*Host, *Place) {}, nil, t0, ""},
		{"asked a moment before", func(h *Host, _ *Place) { h.Asked = t0.Add(-fresh) }, nil, t0, ""},
		{"asked long before", func(h *Host, _ *Place) { h.Asked = t0.Add(-fresh - 1) }, nil, t0, "switch it on anew"},
		{"never asked", func(h *Host, _ *Place) { h.Asked = time.Time{} }, nil, t0, "switch it on anew"},
		{"expired", func(*Host, *Place) {}, nil, t0.Add(time.Hour), "expired"},
		{"another port", func(_ *Host, p *Place) { p.Port = "ether8" }, nil, t0, "on port ether8"},
		{"a crowd", func(_ *Host, p *Place) { p.Doubt = "a crowd" }, nil, t0, "a crowd"},
		{"a trunk", func(_ *Host, p *Place) { p.Fixed = true }, nil, t0, "not one for hosts"},
		{"no stranger", func(h *Host, _ *Place) { h.Name = "x" }, nil, t0, "no stranger"},
		{"a port of somebody's", func(*Host, *Place) {}, []Host{{MAC: MAC{2}, Name: "n2", State: Ready, Port: "ether7"}}, t0, "belongs to n2, which is Ready"},
		{"a port that somebody had", func(*Host, *Place) {}, []Host{{MAC: MAC{2}, State: Retired, Port: "ether7"}, {MAC: MAC{3}, State: Ready, Port: "ether8"}}, t0, ""},
	} {
		h, p := Host{MAC: MAC{1}, State: Seen, Asked: t0}, Place{Port: "ether7"}
		tt.change(&h, &p)
		if got := a.Unfit(h, p, append(tt.others, h), tt.at); (got == "") != (tt.why == "") || !strings.Contains(got, tt.why) {
			t.Errorf("%s: Unfit = %q, want %q", tt.name, got, tt.why)
		}
	}
}
