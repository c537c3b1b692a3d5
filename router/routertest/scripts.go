package routertest

import (
	"errors"
	"iter"
	"strconv"
	"strings"
	"time"
)

// scriptRun is what /system/script tells of a script's runs.
type scriptRun struct {
	count int
	last  time.Time
}

// maxCalls bounds how deep scripts run each other.
const maxCalls = 20

func scriptCommands() map[string]command {
	return map[string]command{
		"/system/script/run": {params: []string{".id", "number", "numbers", "use-script-permissions"}, needs: "read", run: (*Router).runCommand},
		"/execute":           {params: []string{"script", "as-string"}, needs: "read", run: (*Router).execute},
	}
}

// execute is /execute with as-string: it answers when the script has ended, with
// what that has printed or why it ended, which is no error of the call. Without
// as-string, which puts the script into the background, it is not simulated.
func (r *Router) execute(c *call) ([]record, error) {
	if _, waits := c.get("as-string"); !waits {
		return nil, trap(categoryGeneral, "only execute as-string is simulated")
	}
	source, _ := c.get("script")
	s := *c.session
	s.via = "script"
	b, err := parseScript(source, dictionaryOf{r})
	if err != nil {
		return []record{{"ret": err.Error()}}, nil
	}
	run, _, err := interpret(b, &routerShell{r, &s, r.dynamics.boot}, r.dynamics.globals)
	output := run.output.String()
	if err != nil {
		output += err.Error()
	}
	return []record{{"ret": output}}, nil
}

// runCommand is /system/script/run.
func (r *Router) runCommand(c *call) ([]record, error) {
	var number string
	for _, name := range []string{".id", "number", "numbers"} {
		if text, ok := c.get(name); ok {
			number = text
		}
	}
	one := r.lookUp(r.tables["/system/script"], number)
	if one == nil {
		return nil, errNoItem
	}
	s := *c.session
	s.via = "script"
	if s.depth++; s.depth > maxCalls {
		return nil, trap(categoryScript, "scripts run each other without end")
	}
	if one.fields["dont-require-permissions"] != "true" {
		for right := range strings.SplitSeq(one.fields["policy"], ",") {
			if right != "" && !s.may(right) {
				return nil, errNoPermission
			}
		}
		s.policy = one.fields["policy"]
	}
	run := r.dynamics.runs[one.id]
	r.dynamics.runs[one.id] = scriptRun{run.count + 1, r.clock.Now()}
	return nil, r.runScript(&s, one.fields["source"])
}

// RunScript carries out a script as an administrator on the console would, as
// netinstall does with the script that it is given. It returns when the script
// has ended: one that waits needs somebody to advance the clock.
func (r *Router) RunScript(source string) error {
	var err error
	r.locked(func() { err = r.runScript(r.console(), source) })
	return err
}

// runScript reads a script and carries it out, with the lock held. While the
// script waits, the lock is free.
func (r *Router) runScript(s *session, source string) error {
	b, err := parseScript(source, dictionaryOf{r})
	if err != nil {
		return &Trap{err.Error(), categoryScript}
	}
	_, _, err = interpret(b, &routerShell{r, s, r.dynamics.boot}, r.dynamics.globals)
	return err
}

// dictionaryOf is what a router's scripts may say.
type dictionaryOf struct{ r *Router }

func (d dictionaryOf) hasMenu(path string) bool { return d.r.isPrefix(path) }

func (d dictionaryOf) params(menu, verb string) ([]string, bool) {
	if special, ok := d.r.commands[menu+"/"+verb]; ok {
		return special.params, true
	}
	t := d.r.tables[menu]
	if _, known := d.r.verbs[verb]; t == nil || !known || !t.has(verb) {
		return nil, false
	}
	return d.r.params(menu, verb), true
}

func (d dictionaryOf) hasProperty(menu, name string) bool {
	t := d.r.tables[menu]
	return t != nil && t.byName[name] != nil
}

// routerShell is the router as a script meets it.
type routerShell struct {
	r    *Router
	s    *session
	boot int
}

// errStopped ends a script whose router has been switched off.
var errStopped = errors.New("the router has been restarted")

func (sh *routerShell) do(menu, verb string, args []arg) ([]record, error) {
	if sh.r.closed || sh.r.dynamics.boot != sh.boot {
		return nil, errStopped
	}
	return sh.r.do(sh.s, menu, verb, args)
}

// sleep waits on the router's clock: as a job by giving way to whoever
// advances it, else, for a session, with the lock free.
func (sh *routerShell) sleep(d time.Duration) error {
	if sh.r.closed || sh.r.dynamics.boot != sh.boot {
		return errStopped
	}
	if sh.s.wait != nil {
		return sh.s.wait(d)
	}
	var gone chan struct{} // for ever open without a connection
	if sh.s.conn != nil {
		gone = sh.s.conn.done
	}
	due := sh.r.clock.After(d)
	sh.r.mu.Unlock()
	defer sh.r.mu.Lock()
	select {
	case <-due:
		return nil
	case <-gone:
		return errStopped
	}
}

// job is a script that runs on its own. It is a coroutine, so that whoever
// advances the clock runs it up to its next :delay or its end, and no further.
type job struct {
	next  func() (time.Duration, bool)
	stop  func()
	timer *Timer
	busy  bool
}

// start runs a script on its own until it waits or ends.
func (r *Router) start(s *session, source string, done func(error)) {
	j := new(job)
	j.next, j.stop = iter.Pull(func(yield func(time.Duration) bool) {
		s.wait = func(d time.Duration) error {
			if !yield(d) {
				return errStopped
			}
			return nil
		}
		if err := r.runScript(s, source); !errors.Is(err, errStopped) {
			done(err)
		}
	})
	r.dynamics.jobs[j] = true
	r.resume(j)
}

// resume runs a job up to its next wait.
func (r *Router) resume(j *job) {
	boot := r.dynamics.boot
	j.busy = true
	d, more := j.next()
	j.busy = false
	switch {
	case !more:
		delete(r.dynamics.jobs, j)
	case r.dynamics.boot != boot:
		j.stop()
	default:
		j.timer = r.after(d, func() { r.resume(j) })
	}
}

// end stops a job that waits. One that is at work has caused this itself, and
// is stopped by its next step.
func (j *job) end() {
	j.timer.Stop()
	if !j.busy {
		j.stop()
	}
}

// showScript adds what is known of its runs to a printed script.
func (r *Router) showScript(one *row, rec record) {
	run := r.dynamics.runs[one.id]
	rec["run-count"] = strconv.Itoa(run.count)
	if run.count > 0 {
		rec["last-started"] = run.last.UTC().Format(stamp)
	}
	_, err := parseScript(one.fields["source"], dictionaryOf{r})
	rec["invalid"] = strconv.FormatBool(err != nil)
}
