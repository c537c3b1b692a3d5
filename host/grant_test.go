package host

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

var (
	known = UUID{1, 2, 3}
	claim = Claim{UUID: known, Disk: "S1", Secret: "of one boot of the agent"}
)

func admitted() Host {
	return Host{MAC: MAC{1}, Name: "n1", UUID: known, State: Admitted, Grant: &Grant{ID: "g1", Expires: t0.Add(time.Hour)}}
}

func TestBurn(t *testing.T) {
	before := admitted()
	h, first, err := before.Burn(claim, t0)
	if err != nil || !first || h.State != Installing || !h.Grant.Burned.Equal(t0) || h.Grant.Disk != "S1" || !h.Grant.Claim.Matches(claim.Secret) {
		t.Fatalf("Burn = %+v %+v, %v, %v; want it used for S1", h, h.Grant, first, err)
	}
	if !before.Grant.Burned.IsZero() {
		t.Error("Burn changed the host that it was asked of")
	}
	if h.Grant.Open(t0) {
		t.Error("a used grant is open")
	}
	again, first, err := h.Burn(claim, t0.Add(2*time.Hour))
	if err != nil || first || !again.Grant.Burned.Equal(t0) || again.State != Installing {
		t.Errorf("repeat = %+v, %v, %v; want it accepted without a change, however late", again.Grant, first, err)
	}
}

func TestBurnRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Host, *Claim)
		why    string
	}{
		{"no grant", func(h *Host, c *Claim) { h.Grant = nil }, "none was made"},
		{"no secret", func(h *Host, c *Claim) { c.Secret = "" }, "no secret"},
		{"another machine", func(h *Host, c *Claim) { c.UUID = UUID{9} }, "UUID"},
		{"another disk", func(h *Host, c *Claim) { h.Grant.Disk = "S2" }, "serial S2"},
		{"expired", func(h *Host, c *Claim) { h.Grant.Expires = t0 }, "expired"},
		{"used", func(h *Host, c *Claim) { h.Grant.Burned = t0 }, "was used"},
		{"used by another boot", func(h *Host, c *Claim) {
			h.State, h.Grant.Burned, h.Grant.Claim = Installing, t0, DigestOf("another")
		}, "was used"},
		{"used by this claim, but the install is over", func(h *Host, c *Claim) {
			h.State, h.Grant.Burned, h.Grant.Claim = Installed, t0, DigestOf(c.Secret)
		}, "was used"},
		{"a host that is not admitted", func(h *Host, c *Claim) { h.State = Ready }, "Ready"},
		{"a host that failed", func(h *Host, c *Claim) { h.State = Failed }, "Failed"},
	} {
		h, c := admitted(), claim
		tt.change(&h, &c)
		got, first, err := h.Burn(c, t0)
		if !errors.Is(err, ErrGrant) || !strings.Contains(err.Error(), tt.why) || first || got.State != h.State {
			t.Errorf("%s: %s, %v, %v; want ErrGrant because of %q and no change", tt.name, got.State, first, err, tt.why)
		}
	}
}

func TestGrantOpen(t *testing.T) {
	g := &Grant{Expires: t0.Add(time.Hour)}
	for _, tt := range []struct {
		g    *Grant
		at   time.Time
		want bool
	}{
		{g, t0, true}, {g, t0.Add(time.Hour), false}, {nil, t0, false}, {&Grant{}, t0, false},
		{&Grant{Expires: g.Expires, Burned: t0}, t0, false},
	} {
		if got := tt.g.Open(tt.at); got != tt.want {
			t.Errorf("%+v.Open(%s) = %v, want %v", tt.g, tt.at, got, tt.want)
		}
	}
}

func TestDigest(t *testing.T) {
	d := DigestOf("secret")
	if !d.Matches("secret") || d.Matches("other") || d.Matches("") {
		t.Error("a digest matches its secret and nothing else")
	}
	if (Digest{}).Matches("") {
		t.Error("no digest must match nothing, not even an empty secret")
	}
	b, err := json.Marshal(d)
	var back Digest
	if err == nil {
		err = json.Unmarshal(b, &back)
	}
	if err != nil || back != d || strings.Contains(string(b), "secret") {
		t.Errorf("%s came back as %x, %v", b, back, err)
	}
	for _, text := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("0", 65), strings.Repeat("x", 64)} {
		if err := back.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as a digest", text)
		}
	}
}
