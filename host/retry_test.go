package host

import (
	"errors"
	"testing"
	"time"
)

func TestRetry(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	enrolled := &Enrolment{Used: now}
	for _, test := range []struct {
		name string
		h    Host
		ok   bool
	}{
		{"its job failed", Host{State: Failed, Failure: &Failure{In: Joined}, Enrolment: enrolled}, true},
		{"its node was late", Host{State: Failed, Failure: &Failure{In: Booted}, Enrolment: enrolled}, true},
		{"its port was late", Host{State: Failed, Failure: &Failure{In: Configured}, Enrolment: enrolled}, true},
		{"it never reported", Host{State: Failed, Failure: &Failure{In: Installed}, Enrolment: &Enrolment{}}, false},
		{"its install failed", Host{State: Failed, Failure: &Failure{In: Installing}, Enrolment: enrolled}, false},
		{"its right to enrol was taken", Host{State: Failed, Failure: &Failure{In: Joined}}, false},
		{"it is under way", Host{State: Joined, Enrolment: enrolled}, false},
		{"it is ready", Host{State: Ready, Enrolment: enrolled}, false},
	} {
		got, err := test.h.Retry(now)
		if ok := err == nil; ok != test.ok || err != nil && !errors.Is(err, ErrTransition) {
			t.Errorf("%s: Retry = %v, want success %v", test.name, err, test.ok)
		}
		if test.ok && (got.State != Booted || got.Failure != nil || !got.Since.Equal(now)) || !test.ok && got.State != test.h.State {
			t.Errorf("%s: the host is %s since %s with %v", test.name, got.State, got.Since, got.Failure)
		}
	}
}
