package main

import (
	"strings"
	"time"
	"unicode/utf8"

	"provision.internal/host"
)

// view is what a frame depends on beside the hosts' stories.
type view struct {
	now    time.Time
	tick   int // turns the spinner
	width  int
	height int
	note   string // about the connection, not about the hosts
	paint
}

var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

func (v view) spin() string { return spinner[v.tick%len(spinner)] }

// meaning says what goes on while a host is in a state.
var meaning = map[host.State]string{
	host.Admitted:   "waits for the machine to boot from the network",
	host.Installing: "the agent installs the system on its disk",
	host.Installed:  "restarts from its own disk",
	host.Booted:     "enrolled; Nomad starts and registers",
	host.Joined:     "runs the configuration job",
	host.Configured: "finishes",
	host.Ready:      "takes work",
}

// Widths of columns: "Installing", and "12m34s in all".
const (
	stateWidth = 11
	timeWidth  = 15
)

// journeyFrame draws one host on its way, a line for each state. It is pure:
// the same story and view give the same text.
func journeyFrame(s *story, v view) string {
	var b strings.Builder
	line := func(s string) { b.WriteString(s + "\n") }
	line(v.head(s.host))
	failedIn := host.State("")
	switch {
	case s.host.State == host.Failed && s.failure != nil:
		failedIn = s.failure.In
	case s.host.Held != "":
		failedIn = host.Admitted
	}
	for _, st := range host.Journey()[1:] {
		c, known := s.chapterOf(st)
		switch {
		case st == failedIn:
			line(v.journeyLine(v.red("✗"), v.red(pad(string(st), stateWidth)), progressText(s.host.Progress), took(c, known, v.now)))
		case st == host.Ready && s.host.State == host.Ready:
			line(v.journeyLine(v.green("✓"), v.green(pad(string(st), stateWidth)), "", duration(s.total(v.now))+" in all"))
		case st == s.host.State:
			line(v.journeyLine(v.cyan(v.spin()), v.bold(pad(string(st), stateWidth)), v.doing(s, st, v.room()), took(c, known, v.now)))
			for _, l := range v.lastLog(s) {
				line(l)
			}
		case known && !c.Until.IsZero():
			line(v.journeyLine(v.green("✓"), pad(string(st), stateWidth), "", took(c, known, v.now)))
		default:
			line(v.dim("  · " + cut(pad(string(st), stateWidth)+"  "+meaning[st], max(0, v.width-4))))
		}
	}
	if s.host.Held != "" {
		line(v.yellow(cut("  held: "+clean(s.host.Held), v.width)))
	}
	if v.note != "" {
		line(v.yellow(cut("  "+clean(v.note), v.width)))
	}
	return b.String()
}

// head is who the host is, as far as that fits.
func (v view) head(h host.Host) string {
	name := cut(clean(h.Label()), v.width)
	line, room := v.bold(name), v.width-utf8.RuneCountInString(name)
	for _, part := range []string{h.MAC.String(), clean(h.Role), addressText(h)} {
		if n := utf8.RuneCountInString(part) + 2; part != "" && part != h.Label() && n <= room {
			line, room = line+"  "+v.dim(part), room-n
		}
	}
	return line
}

func addressText(h host.Host) string {
	if !h.Address.IsValid() {
		return ""
	}
	return h.Address.String()
}

func took(c chapter, known bool, now time.Time) string {
	if !known {
		return ""
	}
	return duration(c.length(now))
}

// room is what a line of the journey has for its text. Beyond 100 columns the
// times would be too far from what they belong to.
func (v view) room() int { return max(0, min(v.width, 100)-4-stateWidth-2-timeWidth) }

// journeyLine lays one state out: mark, name, what goes on, and the time at the
// right edge.
func (v view) journeyLine(mark, name, text, took string) string {
	room := v.room()
	return "  " + mark + " " + name + "  " + pad(cut(text, room), room) + v.dim(padLeft(took, timeWidth))
}

func padLeft(s string, n int) string {
	return strings.Repeat(" ", max(0, n-len([]rune(s)))) + s
}

// doing is the current state in words, with a bar where the step tells how far
// it is.
func (v view) doing(s *story, st host.State, room int) string {
	p := s.step
	if p == (host.Progress{}) {
		return meaning[st]
	}
	if p.Of <= 0 {
		return progressText(p)
	}
	width := 20
	if room < 50 {
		width = 8
	}
	return strings.TrimSpace(pad(clean(p.Step), 10) + " " + bar(p.Done, p.Of, width) + " " + padLeft(percent(p), 4) + "  " + clean(p.Text))
}

func (v view) lastLog(s *story) []string {
	if len(s.log) == 0 {
		return nil
	}
	last := clean(s.log[len(s.log)-1])
	return []string{v.dim("      " + cut(last, max(0, min(v.width, 100)-6)))}
}

// rackFrame draws every host that is under way, a line each, the longest under
// way first; what does not fit is counted.
func rackFrame(stories []*story, v view) string {
	var moving []*story
	name := 0
	for _, s := range stories {
		if !s.over() {
			moving = append(moving, s)
			name = max(name, len([]rune(s.host.Label())))
		}
	}
	var b strings.Builder
	fits := max(1, v.height-4)
	for i, s := range moving {
		if i == fits {
			b.WriteString(v.dim(cut("  … and more under way: provision hosts lists them", v.width)) + "\n")
			break
		}
		room := max(0, v.width-2-2-name-2-stateWidth-2-timeWidth)
		b.WriteString(v.cyan(v.spin()) + " " + v.bold(pad(clean(s.host.Label()), name)) + "  " +
			v.cyan(pad(string(s.host.State), stateWidth)) + "  " +
			pad(cut(v.doing(s, s.host.State, room), room), room) + v.dim(padLeft(duration(v.now.Sub(s.host.Since)), timeWidth)) + "\n")
	}
	if v.note != "" {
		b.WriteString(v.yellow(cut(clean(v.note), v.width)) + "\n")
	}
	return b.String()
}
