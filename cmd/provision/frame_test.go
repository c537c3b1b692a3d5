package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"provision.internal/golden"
	"provision.internal/host"
	"provision.internal/web"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tell makes the story of a host that entered each of states when the seconds
// before it had passed, and then hears more.
func tell(name string, states []host.State, seconds []float64, more ...web.Update) *story {
	s := &story{}
	mac := host.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}
	h := host.Host{MAC: mac, Name: name, Role: "worker", Address: netip.MustParseAddr("10.77.0.100")}
	at := began
	for i, st := range states {
		at = at.Add(time.Duration(seconds[i] * float64(time.Second)))
		s.add(web.Update{Event: &host.Event{Time: at, MAC: mac, Host: name, Kind: host.KindState, From: h.State, To: st}})
		h.State, h.Since = st, at
	}
	s.add(web.Update{Host: &h})
	for _, u := range more {
		if u.Host != nil {
			merged := h
			merged.Progress, merged.Failure, merged.Held = u.Host.Progress, u.Host.Failure, u.Host.Held
			u.Host = &merged
		}
		s.add(u)
	}
	return s
}

func progress(p host.Progress) web.Update { return web.Update{Host: &host.Host{Progress: p}} }

func logLine(line string) web.Update {
	return web.Update{Event: &host.Event{Kind: host.KindLog, Line: line}}
}

func after(seconds float64) view {
	return view{now: began.Add(time.Duration(seconds * float64(time.Second))), tick: 2, width: 90, height: 24}
}

func TestJourneyFrames(t *testing.T) {
	to := host.Journey()
	for _, c := range []struct {
		name  string
		story *story
		view  view
	}{
		{"admitted", tell("node1", to[1:2], []float64{0}), after(12.3)},
		{"installing", tell("node1", to[1:3], []float64{0, 31},
			progress(host.Progress{Step: "packages", Text: "linux6.1-6.1.140_1", Done: 45, Of: 91}),
			logLine("Unpacking \x1b[1mlinux6.1\x1b[0m\tdone")), after(73)},
		{"joined", tell("node1", to[1:6], []float64{0, 31, 250, 40, 12},
			progress(host.Progress{Step: "job", Text: "the configuration job runs"})), after(340)},
		{"ready", tell("node1", to[1:], []float64{0, 31, 250, 40, 12, 9, 30, 0.01}), after(900)},
		{"failed", tell("node1", append(to[1:3:3], host.Failed), []float64{0, 31, 59},
			web.Update{Host: &host.Host{
				Progress: host.Progress{Step: "grub", Text: "install the boot loader"},
				Failure:  &host.Failure{In: host.Installing, Reason: "grub-install: no space left"},
			}}), after(100)},
		{"held", tell("node1", append(to[1:2:2], host.Seen), []float64{0, 3},
			web.Update{Host: &host.Host{Held: "its UUID has changed"}}), after(4)},
		{"narrow", tell("a-host-with-a-long-name", to[1:3], []float64{0, 31},
			progress(host.Progress{Step: "packages", Text: "linux6.1-6.1.140_1", Done: 45, Of: 91}),
			logLine(strings.Repeat("long line ", 30))),
			view{now: began.Add(time.Minute), width: 60, height: 24, note: "the daemon is away, waiting for it"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := journeyFrame(c.story, c.view)
			golden.Check(t, "frames/"+c.name+".txt", got)
			fits(t, got, c.view)
			coloured := c.view
			coloured.paint = true
			if plain := ansiSequence.ReplaceAllString(journeyFrame(c.story, coloured), ""); plain != got {
				t.Errorf("colours change the text:\n%s\nwant\n%s", plain, got)
			}
		})
	}
}

// A line that wraps would make the next frame overwrite the wrong lines.
func fits(t *testing.T, frame string, v view) {
	t.Helper()
	for line := range strings.Lines(frame) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > v.width {
			t.Errorf("a line has %d characters, the terminal %d: %q", n, v.width, line)
		}
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x1b\n\r\t") {
			t.Errorf("a line could move the cursor: %q", line)
		}
	}
}

func TestRackFrame(t *testing.T) {
	to := host.Journey()
	v := after(100)
	v.height = 7
	stories := []*story{
		tell("node1", to[1:3], []float64{0, 31}, progress(host.Progress{Step: "packages", Done: 1, Of: 4, Text: "glibc"})),
		tell("node2", to[1:], []float64{0, 1, 1, 1, 1, 1, 1, 1}), // Ready: not shown
		tell("storage-three", to[1:2], []float64{5}),
		tell("node4", to[1:5], []float64{1, 1, 1, 1}),
		tell("node5", to[1:5], []float64{1, 1, 1, 2}),
	}
	got := rackFrame(stories, v)
	golden.Check(t, "frames/rack.txt", got)
	fits(t, got, v)
}

func TestHostTable(t *testing.T) {
	now := began.Add(time.Hour)
	mac := func(b byte) host.MAC { return host.MAC{0x52, 0x54, 0, 0x12, 0x34, b} }
	hosts := []host.Host{
		{Name: "node1", MAC: mac(1), Role: "worker", Address: netip.MustParseAddr("10.77.0.101"), State: host.Ready, Since: began},
		{Name: "node2", MAC: mac(2), Role: "worker", Address: netip.MustParseAddr("10.77.0.9"), State: host.Installing, Since: now.Add(-42 * time.Second),
			Progress: host.Progress{Step: "packages", Done: 1, Of: 3, Text: "glibc-2.39_1"}},
		{Name: "storage-three", MAC: mac(3), Role: "storage", State: host.Failed, Since: now.Add(-49 * time.Hour),
			Failure: &host.Failure{In: host.Installed, Reason: "no first boot within 15m0s; look at its console, then run provision reinstall storage-three"}},
		{MAC: mac(4), State: host.Seen, Since: now.Add(-2 * time.Second), Held: "its\nUUID \x1b[31mchanged"},
	}
	golden.Check(t, "frames/hosts.txt", hostTable(hosts, nil, now, 0, false))
	golden.Check(t, "frames/hosts-80.txt", hostTable(hosts, nil, now, 80, false))
	hosts[0].Port = "ether7"
	standing := []host.Admission{{Port: "ether9", Name: "node9", Role: "worker", Made: now.Add(-time.Minute), Expires: time.Date(2026, 3, 2, 12, 0, 0, 0, time.Local)}}
	golden.Check(t, "frames/hosts-ports.txt", hostTable(hosts, standing, now, 0, false))
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0.0s"}, {0, "0.0s"}, {2100 * time.Millisecond, "2.1s"}, {9960 * time.Millisecond, "9s"}, {42 * time.Second, "42s"},
		{64 * time.Second, "1m04s"}, {125 * time.Minute, "2h05m"}, {76 * time.Hour, "3d04h"},
	} {
		if got := duration(c.d); got != c.want {
			t.Errorf("duration(%s) = %q, want %q", c.d, got, c.want)
		}
	}
}

func TestBarIsAsWideAsItShallBe(t *testing.T) {
	for _, c := range []struct{ done, of int64 }{{0, 10}, {1, 10}, {3, 7}, {10, 10}, {-5, 10}, {99, 10}} {
		if n := utf8.RuneCountInString(bar(c.done, c.of, 20)); n != 20 {
			t.Errorf("bar(%d, %d, 20) has %d characters", c.done, c.of, n)
		}
	}
	if got := bar(1, 0, 20); got != "" {
		t.Errorf("bar of an unknown whole = %q, want none", got)
	}
	if got, want := bar(1, 2, 4), "██░░"; got != want {
		t.Errorf("bar(1, 2, 4) = %q, want %q", got, want)
	}
}

func TestCleanLeavesNothingThatMovesACursor(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		"\x1b[2J\x1b[1;31mred\x1b[0m": "red",
		"\x1b]0;title\x07text":        "text",
		"two\nlines\tand\rmore":       "two lines andmore",
		"broken \xff utf-8":           "broken  utf-8",
		"right\u202eleft":             "rightleft",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}
