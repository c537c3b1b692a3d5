package agent

import (
	"fmt"
	"io"
	"sync"

	"provision.internal/host"
)

// Log is what the agent tells while it works: to the console at once, and to
// whoever takes its lines (the reporter) as soon as there is one.
type Log struct {
	Console io.Writer

	mu       sync.Mutex
	early    []string // said before there was a taker
	line     func(string)
	progress func(host.Progress)
}

// Say tells one line.
func (l *Log) Say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.Console, "provision: %s\n", line)
	l.take(line)
}

// Detail tells a line that only the appliance keeps: a console at 9,600 baud
// would slow the install down.
func (l *Log) Detail(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.take(line)
}

func (l *Log) take(line string) {
	if l.line == nil {
		l.early = append(l.early, line)
		return
	}
	l.line(line)
}

// Progress tells what is under way. A new step is a line of its own.
func (l *Log) Progress(p host.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.progress != nil {
		l.progress(p)
	}
}

// Attach gives everything said so far, and from now on, to a taker.
func (l *Log) Attach(line func(string), progress func(host.Progress)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.early {
		line(s)
	}
	l.early, l.line, l.progress = nil, line, progress
}
