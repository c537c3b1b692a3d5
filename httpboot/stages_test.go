package httpboot

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
)

// asked is an enrolment that is under way.
type asked chan installer.Enrolled

func (r *rig) ask(t *testing.T, q installer.Enrol) asked {
	t.Helper()
	c := make(asked, 1)
	go func() {
		var answer installer.Enrolled
		if status := r.post(t, pathEnrol, "", q, &answer); status != http.StatusOK {
			t.Errorf("enrol with stage %q: status %d", q.Stage, status)
		}
		c <- answer
	}()
	return c
}

// pending fails the test when the answer came already.
func (a asked) pending(t *testing.T) {
	t.Helper()
	select {
	case answer := <-a:
		t.Errorf("answered at once with %+v, want it held", answer)
	case <-time.After(300 * time.Millisecond):
	}
}

func (a asked) answer(t *testing.T) installer.Enrolled {
	t.Helper()
	select {
	case answer := <-a:
		return answer
	case <-time.After(installer.EnrolHold / 2):
		t.Fatal("nothing was said although there is news")
	}
	panic("unreachable")
}

// A host goes from nothing through quarantine into its pool, each step with a
// certificate for the same key, and waits for the appliance in between.
func TestStages(t *testing.T) {
	r := newRig(t)
	m := r.Members.(*members)
	m.none = "run provision cluster init"
	token, key := r.installed(t), newKey(t)
	q := installer.Enrol{Token: token, Host: "n1", Request: request(t, key, named("n1"))}

	first := r.ask(t, q)
	first.pending(t)
	if h := r.get(t, mac1); h.State != host.Booted || h.Enrolment.Stage != "" {
		t.Errorf("the host that waits is %s at stage %q, want Booted and none", h.State, h.Enrolment.Stage)
	}
	m.found()
	if got := first.answer(t); got.Stage != installer.StageQuarantine || got.Certificate == "" || len(got.Files) == 0 {
		t.Fatalf("answer = %+v, want quarantine", got)
	}
	again := r.ask(t, q).answer(t) // the answer got lost
	if again.Stage != installer.StageQuarantine {
		t.Errorf("the repeat was answered %+v", again)
	}

	q.Stage = installer.StageQuarantine
	second := r.ask(t, q)
	second.pending(t)
	for _, to := range []host.State{host.Joined, host.Configured} {
		r.put(t, mac1, func(h *host.Host) (err error) { *h, err = h.Advance(to, t0); return err })
	}
	got := second.answer(t)
	if got.Stage != installer.StageMember || !strings.Contains(got.Files[0].Content, "member") {
		t.Fatalf("answer = %+v, want that of a member", got)
	}
	block, _ := pem.Decode([]byte(got.Certificate))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || len(cert.IPAddresses) != 1 || cert.PublicKey == nil {
		t.Errorf("certificate %+v, %v; want the membership's address in it", cert, err)
	}
	if want := []string{"quarantine true", "quarantine false", "member false"}; !slices.Equal(m.joins, want) {
		t.Errorf("joins = %q, want %q", m.joins, want)
	}
	if !slices.Equal(m.heard, []string{"n1"}) {
		t.Errorf("heard %q, want the one time that it came back with a stage", m.heard)
	}
	if h := r.get(t, mac1); h.Enrolment.Stage != string(installer.StageMember) {
		t.Errorf("stage stored is %q", h.Enrolment.Stage)
	}
}

// Whatever the host's state becomes, a member is given nothing further.
func TestMemberStaysOne(t *testing.T) {
	r := newRig(t)
	q := installer.Enrol{Token: r.installed(t), Host: "n1", Request: request(t, newKey(t), named("n1")), Stage: installer.StageMember}
	r.Release()
	if got := r.ask(t, q).answer(t); got.Stage != installer.StageMember || got.Files != nil {
		t.Errorf("answer = %+v, want nothing new", got)
	}
}

// Who is admitted anew while it waits is turned away: its token is void.
func TestHeldHostThatIsReinstalled(t *testing.T) {
	r := newRig(t)
	r.Members.(*members).none = "not founded"
	q := installer.Enrol{Token: r.installed(t), Host: "n1", Request: request(t, newKey(t), named("n1"))}
	status := make(chan int, 1)
	go func() { status <- r.post(t, pathEnrol, "", q, nil) }()
	for r.get(t, mac1).State != host.Booted {
		time.Sleep(time.Millisecond)
	}
	r.put(t, mac1, func(h *host.Host) (err error) {
		*h, err = h.Advance(host.Admitted, t0)
		h.Enrolment = nil
		h.Grant = &host.Grant{ID: "again", Made: t0, Expires: t0.Add(time.Hour)}
		return err
	})
	if got := <-status; got != http.StatusForbidden {
		t.Errorf("status %d, want 403", got)
	}
}

// A daemon that stops answers those that it holds.
func TestRelease(t *testing.T) {
	r := newRig(t)
	r.Members.(*members).none = "run provision cluster init"
	q := installer.Enrol{Token: r.installed(t), Host: "n1", Request: request(t, newKey(t), named("n1"))}
	before := r.ask(t, q)
	before.pending(t)
	r.Release()
	for _, a := range []asked{before, r.ask(t, q)} {
		if got := a.answer(t); got.Stage != installer.StageNone || got.Waits != "run provision cluster init" {
			t.Errorf("answer = %+v, want what it waits for", got)
		}
	}
}
