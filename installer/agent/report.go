package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
)

// How much a reporter keeps while the appliance is away, and how much it sends
// at once.
const (
	bufferedLines = 20_000
	linesAtOnce   = 500
)

// reporter posts progress and log lines in the background, so that neither a
// slow nor an absent appliance holds up the install.
type reporter struct {
	post func(context.Context, installer.Report) error
	wait func(context.Context, time.Duration) error

	mu       sync.Mutex
	progress host.Progress
	fresh    bool // progress has not been sent
	lines    []string
	dropped  int
	last     uint64 // sequence of the last report
	wake     chan struct{}
	idle     *sync.Cond // signalled when everything was sent, or given up
	sent     bool
	dead     error // the appliance wants no more reports
}

func newReporter(post func(context.Context, installer.Report) error, wait func(context.Context, time.Duration) error) *reporter {
	r := &reporter{post: post, wait: wait, wake: make(chan struct{}, 1), sent: true}
	r.idle = sync.NewCond(&r.mu)
	return r
}

// line queues a log line. The oldest go first when the appliance is away for
// long: what led to an end matters more than how it began.
func (r *reporter) line(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead != nil {
		return
	}
	if len(r.lines) == bufferedLines {
		r.lines = append(r.lines[:0], r.lines[bufferedLines/10:]...)
		r.dropped += bufferedLines / 10
	}
	r.lines = append(r.lines, s)
	r.nudge()
}

func (r *reporter) step(p host.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress, r.fresh = p, true
	r.nudge()
}

func (r *reporter) nudge() {
	r.sent = false
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// next takes the next report; false means that there is nothing to say.
func (r *reporter) next() (installer.Report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.fresh && len(r.lines) == 0 {
		r.sent = true
		r.idle.Broadcast()
		return installer.Report{}, false
	}
	var lines []string
	if r.dropped > 0 {
		lines = append(lines, fmt.Sprintf("(%d older lines were dropped while the appliance was away)", r.dropped))
		r.dropped = 0
	}
	n := min(linesAtOnce, len(r.lines))
	lines = append(lines, r.lines[:n]...)
	r.lines = r.lines[n:]
	r.fresh = false
	r.last++
	return installer.Report{Sequence: r.last, Progress: r.progress, Lines: lines}, true
}

// run posts until ctx ends. A report is repeated with its sequence until it is
// answered, so that the appliance can tell a repetition from news.
func (r *reporter) run(ctx context.Context) {
	const gather = 200 * time.Millisecond // a command prints many lines at once
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return
		}
		for {
			report, ok := r.next()
			if !ok {
				break
			}
			if !r.deliver(ctx, report) {
				return
			}
			if r.wait(ctx, gather) != nil {
				return
			}
		}
	}
}

// deliver reports whether run goes on.
func (r *reporter) deliver(ctx context.Context, report installer.Report) bool {
	for pause := time.Second / 2; ; pause = min(2*pause, 10*time.Second) {
		err := r.post(ctx, report)
		if err == nil {
			return true
		}
		if errors.Is(err, errFinal) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.dead = err
			r.idle.Broadcast()
			return false
		}
		if r.wait(ctx, pause) != nil {
			return false
		}
	}
}

// flush waits until everything was sent or given up, or ctx ends.
func (r *reporter) flush(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.idle.Broadcast()
	})
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.sent && r.dead == nil && ctx.Err() == nil {
		r.idle.Wait()
	}
}
