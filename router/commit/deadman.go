package commit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"provision.internal/router"
	"provision.internal/router/ros"
)

// The dead-man: a scheduler entry, and the scripts that it runs. Its name is
// always the same, so that a second appliance cannot add its own.
const (
	deadman = "provision-commit"
	mark    = "provision:commit/" // then the commit's ID, in the entry's comment

	// deadmanPolicy is what the scripts may do: all that a plan changes.
	deadmanPolicy = "read,write,policy,test,sensitive"

	// again is how soon the entry runs once more, should it have run while a
	// safe mode was held that took its work back. The scripts may run any
	// number of times; at last the entry removes itself.
	again = time.Minute

	// cutAfter is when RouterOS gives up a connection that was cut, and takes
	// its safe mode back.
	cutAfter = 9 * time.Minute

	// margin lies between two timers that must not meet.
	margin = time.Minute

	// maxScript bounds one script, in bytes: a word of the API has at most
	// 64 KiB, and terminals of the router show less.
	maxScript = 24 << 10
)

const (
	schedulers = "/system/scheduler"
	scripts    = "/system/script"
)

// scriptName is that of the nth part, counted from 1.
func scriptName(n int) string { return fmt.Sprintf("%s-%d", deadman, n) }

// inverse is the plan's inverse in scripts of bounded length, in the order in
// which they must run.
func inverse(p router.Plan) []string {
	part := func(from, to int) string { return router.Plan{Operations: p.Operations[from:to]}.Inverse() }
	var parts []string
	to := len(p.Operations)
	for from, size := to, 0; from > 0; from-- {
		size += len(part(from-1, from))
		if size > maxScript && from < to {
			parts = append(parts, part(from, to))
			to, size = from, len(part(from-1, from))
		}
		if from == 1 {
			parts = append(parts, part(0, to))
		}
	}
	return parts
}

// timer is the dead-man's entry as the router lists it.
type timer struct {
	id      string
	commit  string // its ID
	comment string // who and when
	ran     bool
}

// findTimer returns the dead-man's entry, nil without one.
func findTimer(ctx context.Context, conn *ros.Conn) (*timer, error) {
	rows, err := conn.Print(ctx, schedulers, []string{".id", "comment", "run-count"}, "?name="+deadman)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	if len(rows) > 1 {
		return nil, fmt.Errorf("%w: the router has %d entries %s in %s; remove those whose appliance is no more", ErrElsewhere, len(rows), deadman, schedulers)
	}
	runs := rows[0]["run-count"]
	t := &timer{id: rows[0][".id"], comment: rows[0]["comment"], ran: runs != "" && runs != "0"}
	if rest, ok := strings.CutPrefix(t.comment, mark); ok {
		t.commit, _, _ = strings.Cut(rest, " ")
	}
	return t, nil
}

// elsewhere is the error for a dead-man that is not ours.
func (t *timer) elsewhere() error {
	return fmt.Errorf("%w: %q; wait until it is settled there, or, when that appliance is gone for good, until its timer has taken it back; should it never run, remove %s from %s by hand",
		ErrElsewhere, t.comment, deadman, schedulers)
}

// install puts the dead-man on the router, to run after delay, and waits until
// it is listed.
func install(ctx context.Context, conn *ros.Conn, r *record, delay time.Duration) error {
	when, err := startAt(ctx, conn, delay)
	if err != nil {
		return err
	}
	when["name"] = deadman
	when["interval"] = clockTime(again)
	when["policy"] = deadmanPolicy
	when["on-event"] = event(r)
	when["comment"] = fmt.Sprintf("%s%s by %s on %s, begun %s", mark, r.ID, r.By, r.Host, r.Began.UTC().Format(time.RFC3339))
	id, err := conn.Add(ctx, schedulers, when)
	if errors.Is(err, ros.ErrExists) {
		if t, lookErr := findTimer(ctx, conn); lookErr == nil && t != nil {
			return t.elsewhere()
		}
	}
	if err != nil {
		return fmt.Errorf("install the dead-man timer: %w", err)
	}
	if err := addScripts(ctx, conn, r); err != nil {
		return err
	}
	return listed(ctx, conn, id)
}

// event is what the entry runs: the inverse, and then it removes itself. A
// script that is not there was never added, and then nothing was changed yet.
func event(r *record) string {
	var b strings.Builder
	for n := range r.Inverse {
		fmt.Fprintf(&b, ":if ([:len [/system/script find where name=\"%[1]s\"]] > 0) do={ /system/script/run \"%[1]s\" }\n", scriptName(n+1))
	}
	fmt.Fprintf(&b, ":log warning \"provision: commit %s was not confirmed and is taken back\"\n", r.ID)
	for n := range r.Inverse {
		fmt.Fprintf(&b, ":do { /system/script remove [find where name=\"%s\"] } on-error={}\n", scriptName(n+1))
	}
	fmt.Fprintf(&b, "/system/scheduler remove [find where name=\"%s\"]\n", deadman)
	return b.String()
}

// addScripts puts the inverse on the router, in the place of what an earlier
// commit may have left.
func addScripts(ctx context.Context, conn *ros.Conn, r *record) error {
	for n, source := range r.Inverse {
		script := ros.Row{"name": scriptName(n + 1), "policy": deadmanPolicy, "source": source}
		_, err := conn.Add(ctx, scripts, script)
		if errors.Is(err, ros.ErrExists) {
			if err = conn.Remove(ctx, scripts, scriptName(n+1)); err == nil {
				_, err = conn.Add(ctx, scripts, script)
			}
		}
		if err != nil {
			return fmt.Errorf("install the inverse of the plan: %w", err)
		}
	}
	return nil
}

// listed waits until the router lists the entry: only then it has it.
func listed(ctx context.Context, conn *ros.Conn, id string) error {
	const tries = 10
	for range tries {
		t, err := findTimer(ctx, conn)
		switch {
		case err != nil:
			return err
		case t != nil && t.id == id:
			return nil
		}
	}
	return fmt.Errorf("%w: it does not list the entry %s that was just added to %s", ErrScheduler, deadman, schedulers)
}

// postpone makes the dead-man run after delay from now.
func postpone(ctx context.Context, conn *ros.Conn, t *timer, delay time.Duration) error {
	when, err := startAt(ctx, conn, delay)
	if err != nil {
		return err
	}
	return conn.Set(ctx, schedulers, t.id, when)
}

// runInverse takes the whole plan back. The scripts may have been removed by
// the dead-man, so they are put there anew.
func runInverse(ctx context.Context, conn *ros.Conn, r *record) error {
	if err := addScripts(ctx, conn, r); err != nil {
		return err
	}
	for n := range r.Inverse {
		if _, err := conn.Call(ctx, scripts+"/run", "=number="+scriptName(n+1)); err != nil {
			return fmt.Errorf("run the inverse of the plan: %w", err)
		}
	}
	return nil
}

// removeScripts removes what the dead-man runs.
func removeScripts(ctx context.Context, conn *ros.Conn) error {
	rows, err := conn.Print(ctx, scripts, []string{".id", "name"})
	if err != nil {
		return err
	}
	var ids []string
	for _, row := range rows {
		if strings.HasPrefix(row["name"], deadman+"-") {
			ids = append(ids, row[".id"])
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := conn.Remove(ctx, scripts, strings.Join(ids, ",")); err != nil && !errors.Is(err, ros.ErrMissing) {
		return err
	}
	return nil
}

// startAt is the instant after delay by the router's own clock, which need not
// agree with ours: a router without a battery begins in the past.
func startAt(ctx context.Context, conn *ros.Conn, delay time.Duration) (ros.Row, error) {
	rows, err := conn.Print(ctx, "/system/clock", []string{"date", "time"})
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("%w: its clock has %d rows", ErrScheduler, len(rows))
	}
	now, err := time.Parse(time.DateTime, rows[0]["date"]+" "+rows[0]["time"])
	if err != nil {
		return nil, fmt.Errorf("%w: its clock shows %q and %q, which is no date and time", ErrScheduler, rows[0]["date"], rows[0]["time"])
	}
	at := now.Add(delay)
	return ros.Row{"start-date": at.Format(time.DateOnly), "start-time": at.Format(time.TimeOnly)}, nil
}

// clockTime writes a duration below a day as RouterOS does: 00:01:00.
func clockTime(d time.Duration) string { return time.Time{}.Add(d).Format(time.TimeOnly) }
