package host

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"time"
)

// Digest is the SHA-256 of a secret. The store holds digests only, so that a
// stolen copy of it opens nothing.
type Digest [sha256.Size]byte

// DigestOf returns the digest of a secret.
func DigestOf(secret string) Digest { return sha256.Sum256([]byte(secret)) }

// Matches compares in constant time.
func (d Digest) Matches(secret string) bool {
	other := DigestOf(secret)
	return d != (Digest{}) && subtle.ConstantTimeCompare(d[:], other[:]) == 1
}

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%x", d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != len(d) {
		return fmt.Errorf("digest of %d characters: want %d hexadecimal digits", len(b), 2*len(d))
	}
	copy(d[:], raw)
	return nil
}

// Grant is the permission to wipe one disk of one host, once. It is made by an
// operator (enroll, reinstall) and burned in the store before the agent hears
// that it may write.
type Grant struct {
	ID      string    `json:"id"`
	By      string    `json:"by"` // who made it
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	Disk    string    `json:"disk,omitempty"`    // serial, or those of a mirror (see DiskIDs); empty until the operator names it or the agent's inventory tells
	Foreign bool      `json:"foreign,omitempty"` // the operator named Disk in the very command: a foreign signature on it may be wiped
	// Place says that the machine's port must serve the installation before the
	// disk is written: see Host.InPlace. Port is that port, empty until it is found.
	// ByPort says that the machine was not named by its MAC, but by Port alone.
	Place  bool   `json:"place,omitempty"`
	Port   string `json:"port,omitempty"`
	ByPort bool   `json:"by_port,omitempty"`
	// Snapshot is the one that the packages are to be of; empty means the newest.
	Snapshot string    `json:"snapshot,omitempty"`
	Burned   time.Time `json:"burned,omitzero"`
	Claim    Digest    `json:"claim,omitzero"` // of the agent that burned it
}

// Open reports whether g can still be burned at now.
func (g *Grant) Open(now time.Time) bool {
	return g != nil && g.Burned.IsZero() && now.Before(g.Expires)
}

// Claim is what an agent shows to take a grant: who the machine is, which disk
// it would write, and a secret that the agent made at its start and keeps in
// memory only. The same secret lets one boot repeat a request whose answer got
// lost; a machine that rebooted has another one and is refused.
type Claim struct {
	UUID   UUID
	Disk   string // serial, or those of a mirror
	Secret string
}

// Burn returns h with its grant burned for c. It refuses (ErrGrant, with the
// reason) a host that is not Admitted, a grant that is missing, expired or
// burned by another claim, and a machine or disk that is not the one the grant
// was made for. A repeat by the claim that burned it is accepted and changes
// nothing: first is then false.
func (h Host) Burn(c Claim, now time.Time) (_ Host, first bool, err error) {
	g := h.Grant
	refuse := func(why string) (Host, bool, error) {
		return h, false, fmt.Errorf("%s: %w: %s", h.Label(), ErrGrant, why)
	}
	switch {
	case g == nil:
		return refuse("none was made; an operator must run provision enroll or reinstall")
	case c.Secret == "":
		return refuse("the claim has no secret")
	case !h.UUID.Fits(c.UUID):
		return refuse("the machine's UUID is " + c.UUID.String() + ", known is " + h.UUID.String())
	case g.Disk != "" && g.Disk != c.Disk:
		return refuse("it is for the disk with serial " + g.Disk + ", not " + c.Disk)
	case h.State == Installing && g.Claim.Matches(c.Secret):
		return h, false, nil
	case !g.Burned.IsZero():
		return refuse("it was used at " + g.Burned.UTC().Format(time.RFC3339))
	case !now.Before(g.Expires):
		return refuse("it expired at " + g.Expires.UTC().Format(time.RFC3339))
	case h.State != Admitted:
		return refuse("the host is " + string(h.State) + ", not " + string(Admitted))
	case !h.InPlace():
		return refuse("its port does not serve the installation yet")
	}
	h, err = h.Advance(Installing, now)
	if err != nil {
		return h, false, err
	}
	burned := *g
	burned.Burned, burned.Disk, burned.Claim = now, c.Disk, DigestOf(c.Secret)
	h.Grant = &burned
	return h, true, nil
}

// Session is the agent's right to speak for its host after hello. It outlives
// a restart of the appliance, because an install must.
type Session struct {
	Token Digest    `json:"token"`
	Since time.Time `json:"since"`
}

// Enrolment is the installed system's right to enrol, once, with the token
// that the agent put on its disk.
type Enrolment struct {
	Token   Digest    `json:"token"`
	Expires time.Time `json:"expires"`
	Used    time.Time `json:"used,omitzero"`
	Key     Digest    `json:"key,omitzero"`    // of the public key that used it: its holder may ask again, however late
	Stage   string    `json:"stage,omitempty"` // that the host was last given the files of
}
