package web_test

import (
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/web"
)

// A host that failed after it had enrolled goes on where its system is: without a
// grant, with the same right to enrol, and by an operator's name.
func TestRetry(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	if _, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac1, Role: "worker"}); err != nil {
		t.Fatal(err)
	}
	a.to(t, mac1, host.Installing, host.Installed)
	a.move(t, mac1, func(h *host.Host) error {
		h.Enrolment = &host.Enrolment{Token: host.DigestOf("t"), Used: time.Now(), Stage: "quarantine"}
		return advance(h, host.Booted)
	})
	a.to(t, mac1, host.Joined)
	_, err := a.Retry(t.Context(), "node1")
	wantCode(t, err, web.CodeState, "it is Joined", "only one that is Failed")
	a.to(t, mac1, host.Failed)
	before, err := a.store.Named("node1")
	if err != nil {
		t.Fatal(err)
	}

	r, err := a.Retry(t.Context(), mac1.String())
	if err != nil || !r.Changed || r.Host.State != host.Booted || r.Host.Failure != nil {
		t.Fatalf("Retry = %+v, %v; want the host Booted", r, err)
	}
	after, err := a.store.Named("node1")
	if err != nil {
		t.Fatal(err)
	}
	if *after.Enrolment != *before.Enrolment || after.Grant.Open(time.Now()) {
		t.Errorf("the host became %+v, want its enrolment as it was and no open grant", after)
	}
	events, err := a.store.Events(mac1, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, e := range events {
		if e.Cause == "to be tried again" && strings.HasPrefix(e.Actor, "operator:") && e.From == host.Failed && e.To == host.Booted {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d events name the operator who had it tried again, want 1: %+v", told, events)
	}

	_, err = a.Retry(t.Context(), "node9")
	wantCode(t, err, web.CodeUnknown, "node9")
}
