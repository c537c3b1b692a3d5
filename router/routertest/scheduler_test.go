package routertest

import (
	"strings"
	"testing"
	"time"
)

// entry is the words that add an entry which adds a pool when it runs.
func entry(words ...string) []string {
	return append([]string{"=name=e", `=on-event=/ip/pool/add name=("p" . [:len [/ip/pool/find]]) ranges=192.0.2.1-192.0.2.2`}, words...)
}

func TestScheduler(t *testing.T) {
	for _, test := range []struct {
		name  string
		words []string
		after map[time.Duration]int // runs by the time since noon
	}{
		{"once, later", []string{"=start-date=2026-03-02", "=start-time=12:05:00"}, map[time.Duration]int{5*time.Minute - 1: 0, 5 * time.Minute: 1, time.Hour: 1}},
		{"once, in the past", []string{"=start-date=2026-03-02", "=start-time=11:00:00"}, map[time.Duration]int{48 * time.Hour: 0}},
		{"now", []string{"=interval=10m"}, map[time.Duration]int{10*time.Minute - 1: 0, 10 * time.Minute: 1, time.Hour: 6}},
		{"later, again and again", []string{"=start-date=2026-03-02", "=start-time=12:05:00", "=interval=1h"}, map[time.Duration]int{5 * time.Minute: 1, time.Hour: 1, 125 * time.Minute: 3}},
		{"past, again and again", []string{"=start-date=2026-03-01", "=start-time=11:50:00", "=interval=1h"}, map[time.Duration]int{50*time.Minute - 1: 0, 50 * time.Minute: 1}},
		{"startup", []string{"=start-time=startup"}, map[time.Duration]int{2 * time.Second: 0, 3 * time.Second: 1, time.Hour: 1}},
		{"startup with an interval", []string{"=start-time=startup", "=interval=1m"}, map[time.Duration]int{3 * time.Second: 0, 63 * time.Second: 1}},
		{"disabled", []string{"=interval=1m", "=disabled=yes"}, map[time.Duration]int{time.Hour: 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for d, want := range test.after {
				r, clock := start(t, Config{})
				must(t, r, "/system/scheduler/add", entry(test.words...)...)
				clock.Advance(d)
				if got := len(r.Rows("/ip/pool")); got != want {
					t.Errorf("%d runs after %v, want %d", got, d, want)
				}
			}
		})
	}
}

func TestSchedulerShowsItsRuns(t *testing.T) {
	r, clock := start(t, Config{})
	must(t, r, "/system/scheduler/add", entry("=interval=1h")...)
	clock.Advance(90 * time.Minute)
	row := r.Rows("/system/scheduler")[0]
	if row["run-count"] != "1" || row["next-run"] != "2026-03-02 14:00:00" || row["owner"] != "admin" {
		t.Errorf("entry after 90 minutes: %v, want one run, the next at 14:00", row)
	}
	must(t, r, "/system/scheduler/set", "=numbers=e", "=interval=10m")
	if row := r.Rows("/system/scheduler")[0]; row["next-run"] != "2026-03-02 13:40:00" {
		t.Errorf("next-run with another interval: %s, want 13:40", row["next-run"])
	}
	must(t, r, "/system/scheduler/remove", "=numbers=e")
	clock.Advance(time.Hour)
	if got := pools(r); got != "p0" {
		t.Errorf("pools after the removal: %s, want p0", got)
	}
}

func TestSchedulerIsForbiddenAtHome(t *testing.T) {
	r, _ := start(t, Config{DeviceMode: "home"})
	if _, err := r.Do("/system/scheduler/add", entry("=interval=1m")...); err == nil || !strings.Contains(err.Error(), "not allowed by device-mode") {
		t.Errorf("adding an entry in device mode home: %v, want a refusal", err)
	}
}

func TestSchedulerHasTheRightsOfItsEntry(t *testing.T) {
	r, clock := start(t, Config{})
	must(t, r, "/system/scheduler/add", entry("=interval=1m", "=policy=read")...)
	clock.Advance(time.Minute)
	if got := pools(r); got != "" || !logged(r, "not enough permissions") {
		t.Errorf("an entry that may read added pools %q; log %v", got, r.Rows("/log"))
	}
}

// A dead-man's entry takes a change back and itself away, over scripts and
// with a wait inside.
func TestDeadMan(t *testing.T) {
	r, clock := start(t, Config{})
	was := r.Snapshot()
	must(t, r, "/system/script/add", "=name=back", `=source=:do {/ip/pool/remove [find where name="a"]} on-error={}; :delay 5s
/system/identity/set name=MikroTik
:do {/ip/pool/remove [find where name="never"]} on-error={}
/system/scheduler/remove [find where name="e"]
/system/script/remove [find where name="back"]`)
	must(t, r, "/system/scheduler/add", "=name=e", "=interval=10m", "=on-event=/system/script/run back")
	must(t, r, "/ip/pool/add", pool("a")...)
	must(t, r, "/system/identity/set", "=name=changed")
	clock.Advance(10 * time.Minute)
	if got := pools(r); got != "" || r.Rows("/system/identity")[0]["name"] != "changed" {
		t.Errorf("before the wait of the script: pools %q, identity %v; want the pool gone and the name as it was", got, r.Rows("/system/identity"))
	}
	clock.Advance(5 * time.Second)
	if now := r.Snapshot(); now != was {
		t.Errorf("after the script:\n%s\nwant:\n%s", now, was)
	}
}

func TestScriptFailuresAreLogged(t *testing.T) {
	r, clock := start(t, Config{})
	must(t, r, "/system/scheduler/add", "=name=e", "=interval=1m", "=on-event=/ip/pool/add nonsense=1")
	clock.Advance(time.Minute)
	if !logged(r, "scheduler (e) failed") {
		t.Errorf("log: %v, want the failure of e", r.Rows("/log"))
	}
	if row := r.Rows("/system/scheduler")[0]; row["run-count"] != "1" {
		t.Errorf("run-count %s, want 1", row["run-count"])
	}
}

func TestScriptWaitsInASession(t *testing.T) {
	r, clock := start(t, Config{})
	must(t, r, "/system/script/add", "=name=slow", "=source=:delay 1m; /ip/pool/add name=late ranges=192.0.2.1-192.0.2.2")
	c := dial(t, r)
	done := make(chan error, 1)
	go func() {
		_, err := c.RunArgs([]string{"/system/script/run", "=number=slow"})
		done <- err
	}()
	await(t, "the script's wait", func() bool { return r.Rows("/system/script")[0]["run-count"] == "1" }) // others go on
	if got := pools(r); got != "" {
		t.Errorf("pools while the script waits: %q, want none", got)
	}
	await(t, "its end", func() bool {
		clock.Advance(time.Minute)
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
			return true
		default:
			return false
		}
	})
	if got := pools(r); got != "late" {
		t.Errorf("pools after the script: %q, want late", got)
	}
}
