package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTransferLine(t *testing.T) {
	for _, c := range []struct {
		done, of, fetched int64
		took              time.Duration
		width             int
		want              string
	}{
		{0, 100 << 20, 0, 0, 80, "kernel.xbps ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   0% of 100.0 MiB"},
		{50 << 20, 100 << 20, 50 << 20, 10 * time.Second, 80, "kernel.xbps ██████████████░░░░░░░░░░░░░░  50% of 100.0 MiB, 5.0 MiB/s, 10s left"},
		// What was there before says nothing of the speed.
		{75 << 20, 100 << 20, 25 << 20, 5 * time.Second, 80, "kernel.xbps ████████████████████▎░░░░░░  75% of 100.0 MiB, 5.0 MiB/s, 5.0s left"},
		{3 << 20, -1, 3 << 20, 3 * time.Second, 80, "kernel.xbps 3.0 MiB, 1.0 MiB/s"},
		{3 << 20, 6 << 20, 3 << 20, 3 * time.Second, 20, "kernel.xb…  50% of…"},
	} {
		got := transferLine("kernel.xbps", c.done, c.of, c.fetched, c.took, c.width)
		if got != c.want || utf8.RuneCountInString(got) > c.width {
			t.Errorf("%d of %d in %s, width %d:\ngot  %q\nwant %q", c.done, c.of, c.took, c.width, got, c.want)
		}
	}
}

// On a terminal there is one line at the bottom, and one that stays for each
// file; its cursor comes back.
func TestTransfersOnTerminal(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	a := &app{now: func() time.Time { return now }}
	a.err = screen{Writer: &out, terminal: true, size: func() (int, int) { return 80, 24 }}
	tr := newTransfers(a)
	for done := int64(0); done <= 100; done++ {
		tr.arrived("one\x1b[2J", done<<20, 100<<20)
		now = now.Add(10 * time.Millisecond)
	}
	tr.say("a note")
	tr.end()
	tr.end()
	text := out.String()
	if n := strings.Count(text, "% of "); n == 0 || n > 12 {
		t.Errorf("%d bars in a second, want about ten", n)
	}
	if !strings.Contains(text, "✓ one, 100.0 MiB\n") || !strings.Contains(text, "a note\n") || strings.Contains(text, "\x1b[2J") {
		t.Errorf("printed %q", text)
	}
	if !strings.HasSuffix(text, showCursor) || strings.Count(text, showCursor) != 1 {
		t.Errorf("ends with %q, want the cursor shown once", text[max(0, len(text)-20):])
	}
}
