package enroll

import (
	"testing"

	"provision.internal/host"
)

// A flood of invented addresses on a port that an admission waits for costs
// bounded memory and a bounded number of events, and makes room when it is over.
func TestRefusalsAreBounded(t *testing.T) {
	m := newMover(&Reconciler{})
	told := 0
	for round := range 2 {
		for i := range 3 * mostTold {
			if m.news(refusal{"flooded", mac(i)}, "another one is there") {
				told++
			}
		}
		if told != mostTold || len(m.told) != mostTold {
			t.Fatalf("round %d: told %d times, remembers %d, want %d", round, told, len(m.told), mostTold)
		}
	}
	if !m.news(refusal{"flooded", mac(0)}, "it was retired") || m.news(refusal{"flooded", mac(0)}, "it was retired") {
		t.Error("another reason must be told, once")
	}
	m.forget([]host.Admission{{ID: "other"}})
	if len(m.told) != 0 {
		t.Errorf("%d refusals of an admission that is no more are remembered", len(m.told))
	}
	if !m.news(refusal{"other", mac(1)}, "behind a switch") {
		t.Error("the next admission is not told of")
	}
	m.forget([]host.Admission{{ID: "other"}})
	if m.news(refusal{"other", mac(1)}, "behind a switch") {
		t.Error("it is told twice")
	}
}
