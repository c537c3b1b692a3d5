package bootstrap

import (
	"fmt"
	"strings"
	"testing"

	"provision.internal/router/commit"
	"provision.internal/router/routertest"
)

// The link may be cut at every call that changes something, before or after the
// router has carried it out, and while it is read. The router can then be reached
// at one of its addresses at least, and running again brings it to the site's
// configuration.
func TestCutAtEveryChange(t *testing.T) {
	whole := newRig(t, routertest.Config{})
	whole.install()
	var calls []string
	whole.router.Faults().OnCall(func(_ int, command string) { calls = append(calls, command) })
	if _, err := whole.takeover().Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for i, command := range calls {
		for name, cut := range map[string]func(*routertest.Faults, int){
			"before": (*routertest.Faults).CutBefore, "after": (*routertest.Faults).CutAfter,
		} {
			n := i + 1
			reads := strings.HasSuffix(command, "/print")
			if reads && (name == "after" || n%5 != 0) || testing.Short() && n%7 != 0 {
				continue // a read that was carried out is as one that was not, and there are many
			}
			t.Run(fmt.Sprintf("%s call %d, %s", name, n, strings.ReplaceAll(command[1:], "/", " ")), func(t *testing.T) {
				r := newRig(t, routertest.Config{})
				r.install()
				cut(r.router.Faults(), n)
				done, err := r.takeover().Run(t.Context(), nil)
				t.Logf("cut: %s, %v", done.Outcome, err)
				if err == nil && done.Outcome != commit.Confirmed && done.Outcome != commit.Unchanged {
					t.Errorf("no error, and the outcome is %q", done.Outcome)
				}
				if err != nil {
					if _, err := r.again(); err != nil {
						t.Fatalf("the next run: %v", err)
					}
				}
				if left := r.left(); left != nil {
					t.Errorf("of the way in there is still %v", left)
				}
				if done, err := r.again(); err != nil || done.Outcome != commit.Unchanged {
					t.Errorf("one more run: %+v, %v; want nothing to do", done, err)
				}
			})
		}
	}
}

// again runs until the router has been heard: on a busy machine the short look
// at the bootstrap address may miss it.
func (r *rig) again() (done commit.Commit, err error) {
	for range 5 {
		if done, err = r.takeover().Run(r.t.Context(), nil); !away(err) {
			break
		}
	}
	return done, err
}
