package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"provision.internal/host"
	"provision.internal/web"
)

// board is what a run's stream told.
type board struct {
	run  host.Run
	rows map[string]host.Row
	name int // width of the longest host's name
}

func newBoard() *board { return &board{rows: map[string]host.Row{}} }

// add takes one update in and returns the line of a host that has just ended.
func (b *board) add(u web.RunUpdate, now time.Time, p paint) string {
	if u.Run != nil {
		b.run = *u.Run
		for _, name := range b.run.Hosts {
			b.name = max(b.name, len([]rune(name)))
		}
	}
	if u.Row == nil {
		return ""
	}
	before := b.rows[u.Row.Host]
	b.rows[u.Row.Host] = *u.Row
	if before.Result.Final() && before.Result != "" || !u.Row.Result.Final() {
		return ""
	}
	return b.line(*u.Row, now, p)
}

// Widths of columns: "unreachable", and "12m34s".
const (
	resultWidth = 11
	tookWidth   = 6
)

// line is one host for a person.
func (b *board) line(r host.Row, now time.Time, p paint) string {
	mark := p.green("✓")
	switch r.Result {
	case host.ResultFailed, host.ResultUnreachable:
		mark = p.red("✗")
	case host.ResultCancelled:
		mark = p.dim("-")
	case host.ResultWaiting, host.ResultRunning:
		mark = " "
	}
	took := ""
	if !r.Began.IsZero() {
		took = duration(r.Took(now))
	}
	parts := []string{
		mark, p.bold(pad(clean(r.Host), b.name)), p.result(r.Result, pad(b.word(r.Result), resultWidth)), p.dim(padLeft(took, tookWidth)), " " + b.detail(r),
	}
	return strings.TrimRight(strings.Join(parts, " "), " ")
}

// word is what a result is called: a check changes nothing.
func (b *board) word(r host.Result) string {
	if b.run.Check && r == host.ResultChanged {
		return "differs"
	}
	return string(r)
}

// detail is what is worth knowing beside the result.
func (b *board) detail(r host.Row) string {
	var parts []string
	if r.Playbook != "" && r.Result != host.ResultOK {
		parts = append(parts, clean(r.Playbook))
	}
	if r.Totals.Changed > 0 {
		parts = append(parts, b.changes(r))
	}
	if r.Reason != "" {
		parts = append(parts, clean(r.Reason))
	}
	return strings.Join(parts, "  ")
}

// tasksShown is how many tasks fit behind a result.
const tasksShown = 3

// changes says how many tasks changed something, and which: of those that are
// drift where there is some, since nobody expects them.
func (b *board) changes(r host.Row) string {
	text, tasks := fmt.Sprintf("%d changed", r.Totals.Changed), r.Changes
	if b.run.Check {
		text = fmt.Sprintf("%d to change", r.Totals.Changed)
	}
	if len(r.Drift) > 0 {
		text, tasks = text+fmt.Sprintf(", %d of them drift", len(r.Drift)), r.Drift
	}
	if len(tasks) == 0 {
		return text
	}
	text += ": " + clean(strings.Join(tasks[:min(tasksShown, len(tasks))], ", "))
	if len(tasks) > tasksShown {
		text += ", …"
	}
	return text
}

// result colours s as the result deserves.
func (p paint) result(r host.Result, s string) string {
	switch r {
	case host.ResultOK:
		return p.green(s)
	case host.ResultChanged:
		return p.yellow(s)
	case host.ResultFailed, host.ResultUnreachable:
		return p.red(s)
	case host.ResultRunning:
		return p.cyan(s)
	}
	return p.dim(s)
}

// frame draws what is under way: the hosts that run, the slowest last, what others
// wait for, and how far the run is. It is pure.
func (b *board) frame(v view) string {
	if b.run.ID == "" {
		if v.note == "" {
			return ""
		}
		return v.yellow(cut(clean(v.note), v.width)) + "\n"
	}
	var running []host.Row
	reasons := map[string]int{}
	waiting, done := 0, 0
	for _, name := range b.run.Hosts {
		switch r := b.rows[name]; {
		case r.Result == host.ResultRunning:
			running = append(running, r)
		case r.Result.Final() && r.Result != "":
			done++
		default:
			waiting++
			reasons[cmp.Or(r.Reason, "their turn")]++
		}
	}
	slices.SortFunc(running, func(x, y host.Row) int {
		return cmp.Or(y.Began.Compare(x.Began), cmp.Compare(x.Host, y.Host))
	})
	var out strings.Builder
	fits, name := max(1, v.height-6), min(b.name, max(8, v.width-40))
	if hidden := len(running) - fits; hidden > 0 {
		out.WriteString(v.dim(cut(fmt.Sprintf("  … and %d more run", hidden), v.width)) + "\n")
		running = running[hidden:]
	}
	for _, r := range running {
		room := max(0, v.width-2-name-1-resultWidth-1-tookWidth-2)
		line := fmt.Sprintf("%s %s %s %s  %s", v.cyan(v.spin()), v.bold(pad(cut(clean(r.Host), name), name)), v.cyan(pad(string(r.Result), resultWidth)),
			v.dim(padLeft(duration(r.Took(v.now)), tookWidth)), cut(b.detail(r), room))
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	if waiting > 0 {
		out.WriteString(v.dim(cut(fmt.Sprintf("  %d waiting: %s", waiting, reasonText(reasons)), v.width)) + "\n")
	}
	head := fmt.Sprintf("%s %d/%d  ", bar(int64(done), int64(b.run.Of), 20), done, b.run.Of)
	now := b.run
	now.Tally = b.tally()
	took := duration(v.now.Sub(b.run.Began))
	line := cut(head+tallyText(now, paint(false))+"  "+took, v.width)
	if strings.HasSuffix(line, took) { // it fits, and may be coloured
		line = head + tallyText(now, v.paint) + "  " + v.dim(took)
	}
	out.WriteString(line + "\n")
	if v.note != "" {
		out.WriteString(v.yellow(cut(clean(v.note), v.width)) + "\n")
	}
	return out.String()
}

// reasonText is what hosts wait for, most of them first.
func reasonText(reasons map[string]int) string {
	var all []string
	for text := range reasons {
		all = append(all, text)
	}
	slices.SortFunc(all, func(x, y string) int { return cmp.Or(reasons[y]-reasons[x], cmp.Compare(x, y)) })
	if len(all) == 1 {
		return clean(all[0])
	}
	for i, text := range all {
		all[i] = fmt.Sprintf("%s (%d)", clean(text), reasons[text])
	}
	return strings.Join(all, ", ")
}

func (b *board) tally() map[host.Result]int {
	t := map[host.Result]int{}
	for _, r := range b.rows {
		t[r.Result]++
	}
	return t
}

// tallyText counts the hosts that have ended, and those that run.
func tallyText(r host.Run, p paint) string {
	var parts []string
	for _, result := range []host.Result{
		host.ResultRunning, host.ResultOK, host.ResultChanged, host.ResultFailed, host.ResultUnreachable, host.ResultCancelled,
	} {
		n := r.Tally[result]
		if n == 0 {
			continue
		}
		word := string(result)
		if r.Check && result == host.ResultChanged {
			word = "would change"
		}
		parts = append(parts, p.result(result, fmt.Sprintf("%d %s", n, word)))
	}
	if len(parts) == 0 {
		return "none has begun"
	}
	return strings.Join(parts, ", ")
}

// runResult is a run for programs.
type runResult struct {
	Run  host.Run   `json:"run"`
	Rows []host.Row `json:"rows"` // by their end, the slowest last
}

func (b *board) result() runResult {
	out := runResult{Run: b.run, Rows: []host.Row{}}
	for _, r := range b.rows {
		out.Rows = append(out.Rows, r)
	}
	slices.SortFunc(out.Rows, func(x, y host.Row) int { return cmp.Or(x.Ended.Compare(y.Ended), cmp.Compare(x.Host, y.Host)) })
	out.Run.Hosts = nil // they are the rows'
	return out
}

// manyRows is how many rows leave the failed ones in sight.
const manyRows = 10

// summary is what a person takes away from a run that is over.
func (b *board) summary(p paint) string {
	var out strings.Builder
	all := b.result().Rows
	if len(all) > manyRows && b.run.Bad() > 0 {
		out.WriteString(p.bold("not as they should be:") + "\n")
		for _, r := range all {
			if r.Result == host.ResultFailed || r.Result == host.ResultUnreachable {
				out.WriteString(b.line(r, r.Ended, p) + "\n")
			}
		}
	}
	what := b.run.ID
	if b.run.Check {
		what += ", a check"
	}
	if b.run.Commit != "" {
		what += ", commit " + shortCommit(clean(b.run.Commit))
	}
	fmt.Fprintf(&out, "%s: %d hosts in %s: %s", p.bold(what), b.run.Of, duration(b.run.Ended.Sub(b.run.Began)), tallyText(b.run, p))
	var slowest host.Row
	drifted := 0
	for _, r := range all {
		if r.Took(r.Ended) > slowest.Took(slowest.Ended) {
			slowest = r
		}
		if len(r.Drift) > 0 {
			drifted++
		}
	}
	if slowest.Host != "" && b.run.Of > 1 {
		fmt.Fprintf(&out, "; slowest %s, %s", clean(slowest.Host), duration(slowest.Took(slowest.Ended)))
	}
	if drifted > 0 {
		fmt.Fprintf(&out, "; %s", p.yellow(fmt.Sprintf("%d had drifted", drifted)))
	}
	if b.run.Cancelled != "" {
		fmt.Fprintf(&out, "; taken back by %s", clean(b.run.Cancelled))
	}
	return out.String() + "\n"
}
