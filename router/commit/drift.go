package commit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"provision.internal/router"
)

// Status reads the router and says what is pending and what has drifted. That
// the router cannot be read is part of the answer; the error is of our disk.
func (c *Committer) Status(ctx context.Context) (Status, error) {
	s := Status{Router: c.Device.Dialer.Address}
	busy := c.busy.Load() > 0 // then what differs is of the commit's making
	if !busy {
		if err := c.look(ctx); err != nil {
			s.Error = err.Error()
		}
	}
	j := journal{c.Dir}
	ids, err := j.ids()
	if err != nil {
		return s, err
	}
	for _, id := range ids[:min(len(ids), 2)] { // one may be pending, and then the next is not
		r, err := j.read(id)
		if err != nil {
			return s, err
		}
		if r.Phase != Settled {
			s.Pending = &r.Commit
		} else if s.Last == nil {
			s.Last = &r.Commit
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Read = c.seen.at
	if !busy {
		s.Drift = c.seen.drift
	}
	return s, nil
}

// sight is what the last look at the router has shown.
type sight struct {
	at    time.Time
	drift Drift
	calm  map[string]uint64 // of the log and the history: the newest id when all was as it should be
}

// look compares the router with the configuration.
func (c *Committer) look(ctx context.Context) error {
	conn, err := c.Device.Dial(ctx)
	if err != nil {
		return explain(err)
	}
	defer conn.Close()
	state, err := router.Read(ctx, conn)
	if err != nil {
		return explain(err)
	}
	in := c.Inputs()
	plan := c.Config.Plan(in, state, router.Options{})
	traces, err := router.ReadTraces(ctx, conn)
	if err != nil {
		return explain(err)
	}
	unapplied := false
	if !plan.Empty() {
		if unapplied, err = c.unapplied(fingerprint(c.Config.Desired(in, state.Version))); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.at = c.now()
	old := c.seen.drift
	c.seen.drift = Drift{Operations: plan.Operations, Foreign: plan.Foreign, Unapplied: unapplied}
	if plan.Empty() {
		c.seen.calm = newest(traces)
		return nil
	}
	drift := &c.seen.drift
	drift.Seen = c.seen.at
	if len(old.Operations) > 0 {
		drift.Seen = old.Seen
	}
	drift.Suspects = since(traces, c.seen.calm)
	if !reflect.DeepEqual(old.Operations, drift.Operations) {
		c.Log.Warn("the router is not as configured", "changes", summary(plan), "first", describe(plan.Operations[0]), "unapplied", unapplied)
	}
	return nil
}

// unapplied tells whether the configuration is another than the one that was
// confirmed last.
func (c *Committer) unapplied(now string) (bool, error) {
	j := journal{c.Dir}
	ids, err := j.ids()
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		r, err := j.read(id)
		if err != nil {
			return false, err
		}
		if r.Outcome == Confirmed {
			return r.Desired != now, nil
		}
	}
	return true, nil
}

// fingerprint tells configurations apart without keeping their secrets.
func fingerprint(rows []router.Row) string {
	text, err := json.Marshal(rows)
	if err != nil {
		panic(fmt.Sprintf("commit: rows are text: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// suspects bounds what Drift names.
const suspects = 10

// since returns the newest of what happened after all was as it should be.
func since(traces []router.Trace, calm map[string]uint64) []router.Trace {
	list := slices.DeleteFunc(traces, func(t router.Trace) bool { return t.ID <= calm[t.Menu] })
	return list[max(0, len(list)-suspects):]
}

// newest is the newest number of each menu.
func newest(traces []router.Trace) map[string]uint64 {
	ids := map[string]uint64{}
	for _, t := range traces {
		ids[t.Menu] = max(ids[t.Menu], t.ID)
	}
	return ids
}
