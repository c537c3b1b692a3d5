package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
)

// mailbox takes reports, or fails them.
type mailbox struct {
	mu      sync.Mutex
	reports []installer.Report
	err     error
}

func (b *mailbox) post(_ context.Context, r installer.Report) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.reports = append(b.reports, r)
	return nil
}

func (b *mailbox) set(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// While the appliance is away, what is said is kept; the oldest lines go first,
// and how many is told.
func TestReporterBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &mailbox{err: errors.New("connection refused")}
		r := newReporter(box.post, wait)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go r.run(ctx)
		r.line("first") // in the report that is under way
		synctest.Wait()
		for i := range bufferedLines + 1 {
			r.line(fmt.Sprintf("line %d", i))
		}
		time.Sleep(time.Hour)
		box.set(nil)
		r.flush(ctx)

		var lines []string
		for i, report := range box.reports {
			if report.Sequence != uint64(i+1) || len(report.Lines) > linesAtOnce+1 {
				t.Errorf("report %d has the sequence %d and %d lines", i, report.Sequence, len(report.Lines))
			}
			lines = append(lines, report.Lines...)
		}
		if lines[0] != "first" || !strings.Contains(lines[1], "2000 older lines were dropped") || lines[2] != "line 2000" || lines[len(lines)-1] != fmt.Sprint("line ", bufferedLines) {
			t.Errorf("the lines are %q … %q", lines[:4], lines[len(lines)-1])
		}
		if want := 1 + 1 + bufferedLines + 1 - 2000; len(lines) != want {
			t.Errorf("%d lines arrived, want %d", len(lines), want)
		}
	})
}

// Only the newest progress matters; flush returns when everything was told.
func TestReporterSendsTheNewestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &mailbox{}
		r := newReporter(box.post, wait)
		r.flush(t.Context()) // nothing to say
		for i := range 100 {
			r.step(host.Progress{Step: "packages", Done: int64(i), Of: 100})
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go r.run(ctx)
		r.flush(ctx)
		if len(box.reports) != 1 || box.reports[0].Progress.Done != 99 {
			t.Errorf("reports are %+v", box.reports)
		}
	})
}

// Neither an appliance that is away nor one that refuses holds up the end.
func TestFlushEnds(t *testing.T) {
	for name, err := range map[string]error{"away": errors.New("no route"), "refused": &Refusal{Status: 403}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := &mailbox{err: err}
				r := newReporter(box.post, wait)
				ctx, stop := context.WithTimeout(t.Context(), flushLimit)
				defer stop()
				go r.run(ctx)
				r.line("a")
				synctest.Wait()
				r.line("b")
				began := time.Now()
				r.flush(ctx)
				if took := time.Since(began); took > flushLimit || name == "refused" && took > time.Second {
					t.Errorf("flush took %s", took)
				}
			})
		})
	}
}
