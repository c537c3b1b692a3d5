package main

import (
	"fmt"
	"io"
	"strings"
)

// live keeps a frame at the bottom of a terminal and redraws it in place. Lines
// printed through it scroll away above the frame.
type live struct {
	out   io.Writer
	drawn string
}

const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	eraseBelow = "\x1b[J"
)

// draw replaces the frame. Every line of it must fit the terminal's width.
func (l *live) draw(frame string) {
	if frame == l.drawn {
		return
	}
	fmt.Fprint(l.out, hideCursor, l.back(), eraseBelow, frame)
	l.drawn = frame
}

// print adds a line above the frame.
func (l *live) print(line string) {
	fmt.Fprint(l.out, l.back(), eraseBelow, line, "\n", l.drawn)
}

// end leaves the last frame where it is and gives the cursor back.
func (l *live) end() { fmt.Fprint(l.out, showCursor) }

func (l *live) back() string {
	if n := strings.Count(l.drawn, "\n"); n > 0 {
		return fmt.Sprintf("\x1b[%dA\r", n)
	}
	return "\r"
}
