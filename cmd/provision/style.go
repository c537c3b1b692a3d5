package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"provision.internal/host"
)

// paint colours text, or leaves it alone when it is false.
type paint bool

func (p paint) with(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) bold(s string) string   { return p.with("1", s) }
func (p paint) dim(s string) string    { return p.with("2", s) }
func (p paint) red(s string) string    { return p.with("31", s) }
func (p paint) green(s string) string  { return p.with("32", s) }
func (p paint) yellow(s string) string { return p.with("33", s) }
func (p paint) cyan(s string) string   { return p.with("36", s) }

// state colours s as the state st deserves: green or red at a glance.
func (p paint) state(st host.State, s string) string {
	switch st {
	case host.Ready:
		return p.green(s)
	case host.Failed:
		return p.red(s)
	case host.Seen, host.Retired:
		return p.dim(s)
	}
	return p.cyan(s)
}

// clean makes text from machines harmless for a terminal: one line, and no
// control characters that could move its cursor or change its colours.
func clean(s string) string {
	if strings.Contains(s, "\x1b") {
		s = ansiSequence.ReplaceAllString(s, "")
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
}

// ansiSequence is what ECMA-48 calls a control sequence or an operating system
// command: installers' tools write them for colours and progress bars.
var ansiSequence = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)|[@-Z\\\\-_])")

// cleanLines is clean for text of several lines.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// cut shortens s to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n <= 1 {
		return strings.Repeat("…", max(n, 0))
	}
	return string([]rune(s)[:n-1]) + "…"
}

// pad fills s with spaces to n characters.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

// duration prints d to two places: 2.1s, 42s, 1m04s, 2h05m, 3d04h.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0.0s"
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// size prints bytes in binary units.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// bar draws progress in width characters.
func bar(done, of int64, width int) string {
	if of <= 0 || width <= 0 {
		return ""
	}
	eighths := int(float64(min(max(done, 0), of)) / float64(of) * float64(width*8))
	full := eighths / 8
	s := strings.Repeat("█", full)
	if part := eighths % 8; part > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[part-1])
	}
	return s + strings.Repeat("░", max(0, width-utf8.RuneCountInString(s)))
}

func percent(p host.Progress) string {
	if p.Of <= 0 {
		return ""
	}
	return fmt.Sprintf("%d%%", 100*min(max(p.Done, 0), p.Of)/p.Of)
}

// progressText is p in one line, without a bar.
func progressText(p host.Progress) string {
	var parts []string
	for _, s := range []string{p.Step, percent(p), p.Text} {
		if s != "" {
			parts = append(parts, clean(s))
		}
	}
	return strings.Join(parts, " ")
}
