package router

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"provision.internal/router/ros"
)

// Trace is one line of the router's own log or history.
type Trace struct {
	When string `json:"when"` // as the router writes it
	By   string `json:"by,omitempty"`
	What string `json:"what"`

	Menu string `json:"-"` // that it is in, and its place there: later ones have higher numbers
	ID   uint64 `json:"-"`
}

// changedBy is how RouterOS logs changes: "filter rule changed by admin",
// "address added by api:admin@192.0.2.2".
var changedBy = regexp.MustCompile(`\b(?:added|changed|removed|moved|enabled|disabled|undone|redone) by (\S+)`)

// ReadTraces reads what the router tells about who changed it, the oldest first. A
// user who may not read one of the two menus is told what the other has.
func ReadTraces(ctx context.Context, conn *ros.Conn) ([]Trace, error) {
	var list []Trace
	for _, menu := range []struct {
		path  string
		props []string
		read  func(ros.Row) (Trace, bool)
	}{
		{"/log", []string{"time", "topics", "message"}, func(r ros.Row) (Trace, bool) {
			by := changedBy.FindStringSubmatch(r["message"])
			if by == nil || !strings.Contains(r["topics"], "system") {
				return Trace{}, false
			}
			return Trace{When: r["time"], By: by[1], What: r["message"]}, true
		}},
		{"/system/history", []string{"time", "by", "action"}, func(r ros.Row) (Trace, bool) {
			return Trace{When: r["time"], By: r["by"], What: r["action"]}, true
		}},
	} {
		rows, err := conn.Print(ctx, menu.path, menu.props)
		if refusal := (*ros.Trap)(nil); errors.As(err, &refusal) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", menu.path, err)
		}
		for _, row := range rows {
			id, err := strconv.ParseUint(strings.TrimPrefix(row[".id"], "*"), 16, 64)
			if err != nil {
				continue
			}
			if t, ok := menu.read(row); ok {
				t.Menu, t.ID = menu.path, id
				list = append(list, t)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Trace) int { return strings.Compare(a.When, b.When) })
	return list, nil
}
