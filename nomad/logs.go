package nomad

import (
	"context"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/hashicorp/nomad/api"
)

// How much of a task's output is fetched, in bytes and lines of each stream.
const (
	logTail  = 16 << 10
	logLines = 60
)

// Log is the end of one stream of one task.
type Log struct {
	Task, Stream string
	Lines        []string
}

// Last returns the last line that says anything, errors before output: the one
// that most likely explains a failure.
func Last(logs []Log) string {
	for _, stream := range []string{"stderr", "stdout"} {
		for _, l := range logs {
			if l.Stream == stream && len(l.Lines) > 0 {
				return l.Lines[len(l.Lines)-1]
			}
		}
	}
	return ""
}

// logs fetches the ends of the tasks' output. An outcome is worth more than its
// log, so that what cannot be fetched is told in the log's place.
func (c *Cluster) logs(ctx context.Context, allocs []*api.AllocationListStub) (out []Log) {
	for _, a := range allocs {
		for _, task := range slices.Sorted(maps.Keys(a.TaskStates)) {
			for _, stream := range []string{"stdout", "stderr"} {
				var raw []byte
				err := c.call(ctx, "fetch the log", func(ctx context.Context) error {
					body, err := c.api.Raw().Response(logPath(a.ID, task, stream, "end", logTail), query(ctx))
					if _, text := answer(err); strings.Contains(text, "not started yet") {
						return nil // it has written nothing
					}
					if err != nil {
						return err
					}
					defer body.Close()
					raw, err = io.ReadAll(io.LimitReader(body, 2*logTail))
					return err
				})
				log := Log{Task: task, Stream: stream, Lines: lines(raw)}
				if err != nil {
					log.Lines = []string{"the log could not be fetched: " + err.Error()}
				}
				if len(log.Lines) > 0 {
					out = append(out, log)
				}
			}
		}
	}
	return out
}

func logPath(alloc, task, stream, origin string, offset int) string {
	q := url.Values{"task": {task}, "type": {stream}, "plain": {"true"}, "origin": {origin}, "offset": {strconv.Itoa(offset)}}
	return "/v1/client/fs/logs/" + alloc + "?" + q.Encode()
}

// lines splits what a task wrote, and takes out what would upset a terminal.
func lines(raw []byte) []string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n', unicode.IsPrint(r):
			return r
		case r == '\t':
			return ' '
		}
		return -1
	}, strings.ToValidUTF8(string(raw), "�"))
	var out []string
	for line := range strings.Lines(clean) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			out = append(out, line)
		}
	}
	return out[max(0, len(out)-logLines):]
}
