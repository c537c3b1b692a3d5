package routertest

import (
	"strconv"
	"time"
)

// task is a row of /system/scheduler with its timer.
type task struct {
	row   *row
	timer *Timer
	next  time.Time // zero: it won't run again
	count int
}

// followScheduler sets the timers of rows that are new or altered, and stops
// those of rows that are gone.
func (r *Router) followScheduler() {
	here := map[int]bool{}
	for _, one := range r.tables["/system/scheduler"].rows {
		here[one.id] = true
		t := r.dynamics.tasks[one.id]
		if t == nil {
			t = &task{}
			r.dynamics.tasks[one.id] = t
		}
		if t.row != one {
			t.row = one
			r.plan(t)
		}
	}
	for id, t := range r.dynamics.tasks {
		if !here[id] {
			t.timer.Stop()
			delete(r.dynamics.tasks, id)
		}
	}
}

// plan sets the timer for the next run.
func (r *Router) plan(t *task) {
	t.timer.Stop()
	t.timer = nil
	now := r.clock.Now()
	t.next = r.nextRun(t.row, now)
	if t.next.IsZero() {
		return
	}
	t.timer = r.after(t.next.Sub(now), func() { r.fire(t) })
}

// nextRun is the first run after now; zero when there is none. An entry with
// an interval runs at its start and every interval from then on, one without
// only at its start, if that is still to come. With start-time=startup the
// start is three seconds after the router's; an entry with an interval then
// doesn't run at the start itself.
func (r *Router) nextRun(one *row, now time.Time) time.Time {
	if !one.on() || !r.schedulerAllowed() {
		return time.Time{}
	}
	interval, _ := parseDuration(one.fields["interval"])
	var start time.Time
	if one.fields["start-time"] == "startup" {
		start = r.started.Add(startupDelay + interval)
	} else {
		var err error
		start, err = time.Parse(stamp, one.fields["start-date"]+" "+one.fields["start-time"])
		if err != nil {
			return time.Time{}
		}
	}
	switch {
	case start.After(now):
		return start
	case interval <= 0:
		return time.Time{}
	}
	return start.Add((now.Sub(start)/interval + 1) * interval)
}

// schedulerAllowed tells whether the device mode lets the scheduler run.
func (r *Router) schedulerAllowed() bool {
	return r.config.DeviceMode != "home"
}

// fire runs an entry's script. On its own account: with the rights of the
// entry, in the name of whoever added it.
func (r *Router) fire(t *task) {
	t.count++
	one := t.row
	r.plan(t)
	s := &session{user: one.fields["owner"], via: "scheduler", policy: one.fields["policy"]}
	source := one.fields["on-event"]
	if named := r.tables["/system/script"].named(source); named != nil {
		source = "/system/script/run " + quoteWord(source)
	}
	r.start(s, source, func(err error) {
		if err != nil {
			r.log("script,error", "executing script from scheduler ("+one.fields["name"]+") failed, please check it manually: "+err.Error())
		}
	})
}

// showSchedule adds what the timer knows to a printed entry.
func (r *Router) showSchedule(one *row, rec record) {
	rec["run-count"] = "0"
	t := r.dynamics.tasks[one.id]
	if t == nil {
		return
	}
	rec["run-count"] = strconv.Itoa(t.count)
	if !t.next.IsZero() {
		rec["next-run"] = t.next.Format(stamp)
	}
}
