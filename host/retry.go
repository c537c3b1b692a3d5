package host

import (
	"fmt"
	"time"
)

// Retry returns h, which failed after its system had enrolled, on its way again:
// Booted, from where it goes on with a new attempt of its configuration. Nothing is
// installed anew. ErrTransition is wrapped where there is nothing to go on with.
func (h Host) Retry(now time.Time) (Host, error) {
	refuse := func(why string) (Host, error) {
		return h, fmt.Errorf("%s: %w: %s", h.Label(), ErrTransition, why)
	}
	if h.State != Failed || h.Failure == nil {
		return refuse(fmt.Sprintf("it is %s, and only one that is Failed can be tried again", h.State))
	}
	switch h.Failure.In {
	case Booted, Joined, Configured:
	default:
		return refuse(fmt.Sprintf("it failed while %s, before its system had enrolled; run provision reinstall %s", h.Failure.In, h.Label()))
	}
	if h.Enrolment == nil || h.Enrolment.Used.IsZero() {
		return refuse("its system has not enrolled; run provision reinstall " + h.Label())
	}
	return h.Advance(Booted, now)
}
