package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"provision.internal/router"
	"provision.internal/router/ros"
)

// What a Committer takes where its fields are zero.
const (
	DefaultWithin    = 5 * time.Minute
	DefaultBGPWithin = time.Minute
	DefaultEvery     = 5 * time.Minute
)

// Committer changes one router. Device, Dir, Config, Inputs and Log must be
// set; nothing may be changed afterwards. There must be one for a router in
// the appliance, and one for a Dir.
type Committer struct {
	Device *ros.Device
	Dir    string // of the records
	Config router.Config
	Inputs func() router.Inputs
	Log    *slog.Logger

	Within    time.Duration // bounds applying and checking; 0 means DefaultWithin
	BGPWithin time.Duration // that a session may take to come up; 0 means DefaultBGPWithin
	Every     time.Duration // how often drift is looked for; 0 means DefaultEvery

	// Reach are further addresses on which the changed router must answer:
	// where management moves by the plan.
	Reach []ros.Dialer

	Now   func() time.Time                     // time.Now when nil
	After func(time.Duration) <-chan time.Time // time.After when nil

	batch int // operations of one transaction; 0 means maxBatch

	mu     sync.Mutex
	hold   func(func(context.Context)) // runs a function until Run ends; nil while Run does not
	held   *held                       // the commit that waits for a person
	drift  Drift
	lastUp time.Time // when the router was last read
}

// Options are an operator's wishes for one commit.
type Options struct {
	router.Options

	By string // who wants it

	// ConfirmWithin keeps the commit pending until Confirm, and takes it back
	// when that does not come in time; 0 confirms it once the checks pass.
	ConfirmWithin time.Duration

	// SkipBGP does not wait for BGP sessions.
	SkipBGP bool
}

// Step is progress, for people.
type Step struct {
	Text        string
	Done, Total int // operations; both 0 in steps that have none
}

// Plan says what Apply would do.
func (c *Committer) Plan(ctx context.Context, o router.Options) (router.Plan, error) {
	conn, err := c.Device.Dial(ctx)
	if err != nil {
		return router.Plan{}, explain(err)
	}
	defer conn.Close()
	state, err := router.Read(ctx, conn)
	if err != nil {
		return router.Plan{}, explain(err)
	}
	return c.Config.Plan(c.Inputs(), state, o), nil
}

// Apply changes the router to what the configuration says, and returns when the
// commit is settled or waits for Confirm. The error is nil when the outcome is
// Confirmed, Unchanged, or Pending for a person; it wraps ErrRolledBack or
// ErrUnknown when the router was touched, and tells why in any case.
//
// While a commit waits, applying the same again with ConfirmWithin makes it
// wait for that long from now; everything else is refused with ErrPending.
// Progress is told to tell, which may be nil.
func (c *Committer) Apply(ctx context.Context, o Options, tell func(Step)) (Commit, error) {
	return Commit{}, errors.New("not there yet")
}

// Confirm makes the commit that waits final.
func (c *Committer) Confirm(ctx context.Context, by string) (Commit, error) {
	return Commit{}, errors.New("not there yet")
}

// Rollback takes the commit that waits back.
func (c *Committer) Rollback(ctx context.Context, by string) (Commit, error) {
	return Commit{}, errors.New("not there yet")
}

// History returns what was committed, the newest first.
func (c *Committer) History() ([]Commit, error) {
	j := journal{c.Dir}
	ids, err := j.ids()
	if err != nil {
		return nil, err
	}
	list := make([]Commit, 0, len(ids))
	for _, id := range ids {
		r, err := j.read(id)
		if err != nil {
			return list, err
		}
		list = append(list, r.Commit)
	}
	return list, nil
}

// Status reads the router and says what is pending and what has drifted.
func (c *Committer) Status(ctx context.Context) (Status, error) {
	return Status{}, errors.New("not there yet")
}

// Run resolves what an earlier process has left pending, holds commits open
// that wait for a person, and looks for drift. It returns nil when ctx ends;
// a commit that waits is then rolled back.
func (c *Committer) Run(ctx context.Context) error { return errors.New("not there yet") }

func (c *Committer) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// sleep waits for d or until ctx ends, whose cause it returns.
func (c *Committer) sleep(ctx context.Context, d time.Duration) error {
	after := c.After
	if after == nil {
		after = time.After
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-after(d):
		return nil
	}
}

func (c *Committer) within() time.Duration { return cmp.Or(c.Within, DefaultWithin) }

// host names this appliance to people who find its timer on the router.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return fmt.Sprintf("an appliance without a name (%v)", err)
	}
	return name
}
