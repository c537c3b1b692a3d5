package routertest

import (
	"maps"
	"slices"
	"time"
)

// dynamics is the state of what happens on a router by itself: safe mode,
// timers, scripts, sessions that are gone, and what a reboot forgets.
type dynamics struct {
	safe    safeMode
	tasks   map[int]*task       // of the scheduler, by the id of the row
	jobs    map[*job]bool       // scripts that wait
	lost    map[*session]*Timer // sessions that the router believes in
	runs    map[int]scriptRun   // of /system/script, by the id of the row
	globals map[string]value    // of scripts
	peers   map[string]*peer    // of BGP, by the name of the connection
	backups map[string]*backup  // by the name of the file
	answers map[string]bool     // BGP peers that answer
	actions int                 // number of the last change
	boot    int                 // how often the router has started
	down    bool                // it is starting
}

// What takes time.
const (
	// closeDelay passes between a closed session and the end of its safe mode.
	closeDelay = 2 * time.Second
	// linkTimeout is when the router notices that a session's link is cut.
	linkTimeout = 9 * time.Minute
	// bootTime is how long a reboot takes. [?]
	bootTime = 30 * time.Second
	// startupDelay is when start-time=startup is, after the start.
	startupDelay = 3 * time.Second
)

// forget puts in the state of a router that has just started. What is on its
// flash stays: files, backups, and whether BGP peers answer isn't its own.
func (d *dynamics) forget() {
	for _, t := range d.tasks {
		t.timer.Stop()
	}
	for j := range d.jobs {
		j.end()
	}
	for _, t := range d.lost {
		t.Stop()
	}
	*d = dynamics{
		tasks: map[int]*task{}, jobs: map[*job]bool{}, lost: map[*session]*Timer{}, runs: map[int]scriptRun{},
		globals: map[string]value{}, peers: map[string]*peer{},
		backups: d.backups, answers: d.answers, boot: d.boot + 1,
	}
	if d.backups == nil {
		d.backups, d.answers = map[string]*backup{}, map[string]bool{}
	}
}

// dynamicCommands are the commands of safe mode, history, scripts, files and
// backups.
func (r *Router) dynamicCommands() map[string]command {
	all := map[string]command{}
	for _, group := range []map[string]command{
		r.safeModeCommands(), historyCommands(), scriptCommands(), logCommands(), fileCommands(), backupCommands(),
	} {
		maps.Copy(all, group)
	}
	return all
}

// after has f called when d has passed, with the lock held, unless the router
// is closed or has been started anew by then.
func (r *Router) after(d time.Duration, f func()) *Timer {
	boot := r.dynamics.boot
	return r.clock.AfterFunc(d, func() {
		r.locked(func() {
			if !r.closed && r.dynamics.boot == boot {
				f()
			}
		})
	})
}

// locked calls f with the lock held and then tells the watchers what it has
// changed.
func (r *Router) locked(f func()) {
	r.mu.Lock()
	f()
	tell := r.untold()
	r.mu.Unlock()
	tell()
}

// touch has the watchers told that a menu has changed.
func (r *Router) touch(menu string) {
	if !slices.Contains(r.touched, menu) {
		r.touched = append(r.touched, menu)
	}
}

// followAll lets everything that depends on the configuration follow a change.
func (r *Router) followAll() {
	r.followSessions()
	r.followScheduler()
	r.followPeers()
}
