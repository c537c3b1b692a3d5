package main

import (
	"fmt"
	"sync"
	"time"

	"provision.internal/daemon"
)

// transfers shows the person in front of it which file arrives: a bar on a
// terminal, one line a file elsewhere.
type transfers struct {
	app  *app
	verb string // what is done to the files

	mu    sync.Mutex
	live  *live // nil when not on a terminal
	name  string
	began time.Time
	start int64 // bytes that were there before
	drawn time.Time
}

func newTransfers(a *app) *transfers {
	t := &transfers{app: a, verb: "fetching"}
	if a.err.terminal {
		t.live = &live{out: a.err}
	}
	return t
}

func (t *transfers) progress() daemon.Progress {
	return daemon.Progress{Bytes: t.arrived, Note: t.say}
}

// say prints a line that stays.
func (t *transfers) say(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.print(clean(line))
}

func (t *transfers) print(line string) {
	if t.live != nil {
		t.live.print(line)
		return
	}
	fmt.Fprintln(t.app.err, line)
}

func (t *transfers) arrived(name string, done, of int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.app.now()
	if name != t.name {
		t.name, t.began, t.start, t.drawn = name, now, done, time.Time{}
		if t.live == nil {
			line := t.verb + " " + clean(name)
			if of >= 0 {
				line += ", " + size(uint64(of))
			}
			t.print(line)
		}
	}
	if t.live == nil || done < of && now.Sub(t.drawn) < time.Second/framesPerSecond {
		return
	}
	t.drawn = now
	if done == of {
		t.live.draw("")
		t.print(t.app.err.green("✓ ") + clean(name) + ", " + size(uint64(done)))
		t.name = ""
		return
	}
	width, _ := t.app.err.size()
	t.live.draw(transferLine(name, done, of, done-t.start, now.Sub(t.began), width))
}

// end leaves the terminal as it was.
func (t *transfers) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live != nil {
		t.live.draw("")
		t.live.end()
		t.live = nil
	}
}

// transferLine is one transfer in at most width characters.
func transferLine(name string, done, of, fetched int64, took time.Duration, width int) string {
	figures := size(uint64(done))
	speed := float64(fetched) / max(took.Seconds(), 0.001)
	if of > 0 {
		figures = fmt.Sprintf("%3d%% of %s", 100*done/of, size(uint64(of)))
	}
	if took >= time.Second && speed >= 1 {
		figures += ", " + size(uint64(speed)) + "/s"
		if of > done {
			figures += ", " + duration(time.Duration(float64(of-done)/speed*float64(time.Second))) + " left"
		}
	}
	name = cut(clean(name), max(width/2, 1))
	room := width - len([]rune(name)) - len([]rune(figures)) - 3
	if room < 8 || of <= 0 {
		return cut(name+" "+figures, width-1)
	}
	return name + " " + bar(done, of, min(room, 40)) + " " + figures
}
