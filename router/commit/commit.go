package commit

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
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

	busy atomic.Int32 // commits that are under way, or want to be

	mu   sync.Mutex
	hold func(func(context.Context)) // runs a function until Run ends; nil while Run does not
	held *held                       // the commit that waits for a person
	seen sight
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

	// Seen is the fingerprint of the plan that By has agreed to: another one is
	// refused. Empty agrees to any.
	Seen string
}

// Step is progress, for people.
type Step struct {
	Text  string `json:"text"`
	Done  int    `json:"done,omitempty"` // operations; this and Total are 0 in steps that have none
	Total int    `json:"total,omitempty"`
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

func (c *Committer) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func (c *Committer) after(d time.Duration) <-chan time.Time {
	if c.After == nil {
		return time.After(d)
	}
	return c.After(d)
}

// sleep waits for d or until ctx ends, whose cause it returns.
func (c *Committer) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.after(d):
		return nil
	}
}

func (c *Committer) within() time.Duration { return cmp.Or(c.Within, DefaultWithin) }

// hostname names this appliance to people who find its timer on the router.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return fmt.Sprintf("an appliance without a name (%v)", err)
	}
	return name
}
