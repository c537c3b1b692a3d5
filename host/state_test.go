package host

import (
	"errors"
	"slices"
	"testing"
	"time"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// The table in full: what is not listed here is refused.
func TestTransitions(t *testing.T) {
	all := append(Journey(), Failed, Retired)
	allowed := map[State][]State{
		"":         {Seen, Admitted},
		Seen:       {Admitted, Retired},
		Admitted:   {Seen, Admitted, Installing, Failed, Retired},
		Installing: {Installed, Failed, Retired},
		Installed:  {Admitted, Booted, Failed, Retired},
		Booted:     {Admitted, Joined, Failed, Retired},
		Joined:     {Admitted, Configured, Failed, Retired},
		Configured: {Admitted, Ready, Failed, Retired},
		Ready:      {Admitted, Failed, Retired},
		Failed:     {Admitted, Booted, Retired},
		Retired:    {Admitted},
	}
	for from, want := range allowed {
		for _, to := range all {
			before := Host{MAC: MAC{1}, State: from, Since: t0, Held: "held", Deadline: t0, Progress: Progress{Step: "x"}, Failure: &Failure{Reason: "x"}}
			got, err := before.Advance(to, t0.Add(time.Hour))
			if !slices.Contains(want, to) {
				if !errors.Is(err, ErrTransition) || got.State != from || !got.Since.Equal(t0) {
					t.Errorf("%q to %s: %s, %v; want ErrTransition and no change", from, to, got.State, err)
				}
				continue
			}
			if err != nil || got.State != to || !got.Since.Equal(t0.Add(time.Hour)) || !got.Deadline.IsZero() || got.Progress != (Progress{}) || got.Failure != nil {
				t.Errorf("%q to %s: %+v, %v; want it entered afresh", from, to, got, err)
			}
			if (got.Held != "") != (to == Seen) {
				t.Errorf("%q to %s: held %q; only a Seen host is held", from, to, got.Held)
			}
		}
	}
	if _, err := (Host{State: Seen}).Advance("Nonsense", t0); !errors.Is(err, ErrTransition) {
		t.Errorf("to a state that does not exist: %v, want ErrTransition", err)
	}
}

// A disk that is being written must not be granted away, and a host that was
// never admitted cannot be installed.
func TestInstallingIsReachedFromAdmittedOnly(t *testing.T) {
	for _, from := range append(Journey(), Failed, Retired, "") {
		if got := from.Reaches(Installing); got != (from == Admitted) {
			t.Errorf("%q reaches Installing: %v", from, got)
		}
	}
}

func TestStates(t *testing.T) {
	settled := map[State]bool{Seen: true, Ready: true, Failed: true, Retired: true}
	for _, s := range append(Journey(), Failed, Retired) {
		if !s.Valid() || s.Settled() != settled[s] {
			t.Errorf("%s: Valid %v, Settled %v; want true, %v", s, s.Valid(), s.Settled(), settled[s])
		}
	}
	for _, s := range []State{"", "seen", "Nonsense"} {
		if s.Valid() {
			t.Errorf("%q is valid", s)
		}
	}
	for i, s := range Journey()[1:] {
		if before := Journey()[i]; !before.Reaches(s) {
			t.Errorf("the journey stops between %s and %s", before, s)
		}
	}
}

func TestFail(t *testing.T) {
	h := Host{MAC: MAC{1}, State: Installing, Progress: Progress{Step: "grub"}}
	got, err := h.Fail("no space", t0)
	if err != nil || got.State != Failed || *got.Failure != (Failure{Installing, "no space"}) || got.Progress.Step != "grub" {
		t.Errorf("Fail = %+v %+v, %v; want it in Failed with where and why", got, got.Failure, err)
	}
	if _, err := got.Fail("again", t0); !errors.Is(err, ErrTransition) {
		t.Errorf("Fail of a failed host: %v, want ErrTransition", err)
	}
}

func TestLabel(t *testing.T) {
	h := Host{MAC: MAC{1}}
	if h.Label() != "01:00:00:00:00:00" {
		t.Errorf("Label() = %s without a name", h.Label())
	}
	if h.Name = "n1"; h.Label() != "n1" {
		t.Errorf("Label() = %s, want n1", h.Label())
	}
}

func TestCloneSharesNothing(t *testing.T) {
	h := Host{
		Failure: &Failure{Reason: "a"}, Placed: &Placement{Port: "a"}, Grant: &Grant{ID: "a"}, Session: &Session{Since: t0}, Enrolment: &Enrolment{Expires: t0},
		Inventory: &Inventory{Vendor: "a", Disks: []Disk{{Name: "a"}}, NICs: []NIC{{Name: "a"}}},
	}
	c := h.Clone()
	c.Failure.Reason, c.Placed.Port, c.Grant.ID, c.Session.Since, c.Enrolment.Expires = "b", "b", "b", t0.Add(1), t0.Add(1)
	c.Inventory.Vendor, c.Inventory.Disks[0].Name, c.Inventory.NICs[0].Name = "b", "b", "b"
	if h.Failure.Reason != "a" || h.Placed.Port != "a" || h.Grant.ID != "a" || !h.Session.Since.Equal(t0) || !h.Enrolment.Expires.Equal(t0) ||
		h.Inventory.Vendor != "a" || h.Inventory.Disks[0].Name != "a" || h.Inventory.NICs[0].Name != "a" {
		t.Errorf("a change of the clone reached %+v", h)
	}
	if got := (Host{}).Clone(); got.Grant != nil || got.Inventory != nil || got.Failure != nil {
		t.Errorf("Clone of nothing = %+v", got)
	}
}

func TestDiskID(t *testing.T) {
	for _, tt := range []struct {
		d    Disk
		want string
	}{
		{Disk{Serial: "s", WWN: "w", Path: "p"}, "s"}, {Disk{WWN: "w", Path: "p"}, "w"}, {Disk{Path: "p"}, "p"}, {Disk{Name: "sda"}, ""},
	} {
		if got := tt.d.ID(); got != tt.want {
			t.Errorf("ID of %+v = %q, want %q", tt.d, got, tt.want)
		}
	}
}
