package nomad

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
)

// maxOutput bounds what is read of one task's standard output, in bytes. A
// client keeps 100 MiB of it by default.
const maxOutput = 32 << 20

// ErrOutput: a task has written more than is read.
var ErrOutput = fmt.Errorf("the task has written more than %d MiB", maxOutput>>20)

// output lets read have what each task of allocs has written to its standard
// output. The error says what could not be fetched.
func (c *Cluster) output(ctx context.Context, allocs []*api.AllocationListStub, read func(task string, stdout io.Reader)) error {
	var faults []error
	for _, a := range allocs {
		for _, task := range slices.Sorted(maps.Keys(a.TaskStates)) {
			faults = append(faults, c.call(ctx, "fetch the output of task "+task, func(ctx context.Context) error {
				body, err := c.api.Raw().Response(logPath(a.ID, task, "stdout", "start", 0), query(ctx))
				if _, text := answer(err); strings.Contains(text, "not started yet") {
					return nil // it has written nothing
				}
				if err != nil {
					return err
				}
				defer body.Close()
				b := &bounded{r: body, left: maxOutput}
				read(task, b)
				return b.broken
			}))
		}
	}
	return errors.Join(faults...)
}

// bounded reads up to left bytes, and remembers a connection that broke.
type bounded struct {
	r      io.Reader
	left   int
	broken error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrOutput
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	if err != nil && err != io.EOF {
		b.broken = err
	}
	return n, err
}

// span is when the first task began and the last one ended.
func span(allocs []*api.AllocationListStub) (began, ended time.Time) {
	for _, a := range allocs {
		for _, t := range a.TaskStates {
			if t == nil || t.StartedAt.IsZero() {
				continue
			}
			if began.IsZero() || t.StartedAt.Before(began) {
				began = t.StartedAt
			}
			if t.FinishedAt.After(ended) {
				ended = t.FinishedAt
			}
		}
	}
	return began, ended
}
