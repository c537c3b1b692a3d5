package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"provision.internal/host"
	"provision.internal/web"
)

// errOver ends a stream whose host has come to the end of its journey.
var errOver = errors.New("over")

// followOne shows the host on its way until it is Ready, has failed or was
// taken out, and returns its story.
func (a *app) followOne(ctx context.Context, q web.Query) (*story, error) {
	s := &story{}
	show := a.newShow(func(v view) string { return journeyFrame(s, v) })
	defer show.end()
	err := show.run(ctx, a.client(), q, func(u web.Update) (string, error) {
		s.add(u)
		// The end is told by the host's value: it follows its last event.
		if u.Host != nil && s.over() && s.host.State != host.Seen {
			return "", errOver
		}
		if u.Host != nil && s.host.State == host.Seen && len(s.chapters) > 0 {
			return "", errOver // admitted before, and put back because it is another machine
		}
		return a.plainLine(u, s), nil
	})
	if errors.Is(err, errOver) {
		err = nil
	}
	return s, err
}

// followAll shows what happens to every host until ctx ends.
func (a *app) followAll(ctx context.Context, q web.Query, each func(host.Event) (string, error)) error {
	stories := map[host.MAC]*story{}
	show := a.newShow(func(v view) string { return rackFrame(byAge(stories), v) })
	defer show.end()
	return show.run(ctx, a.client(), q, func(u web.Update) (string, error) {
		mac := host.MAC{}
		switch {
		case u.Event != nil:
			mac = u.Event.MAC
		case u.Host != nil:
			mac = u.Host.MAC
		}
		if !mac.IsZero() {
			if stories[mac] == nil {
				stories[mac] = &story{}
			}
			stories[mac].add(u)
		}
		if u.Event == nil {
			return "", nil
		}
		return each(*u.Event)
	})
}

func byAge(stories map[host.MAC]*story) []*story {
	all := make([]*story, 0, len(stories))
	for _, s := range stories {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *story) int {
		if c := a.host.Since.Compare(b.host.Since); c != 0 {
			return c
		}
		return strings.Compare(a.host.MAC.String(), b.host.MAC.String())
	})
	return all
}

// show feeds a stream of updates to the person in front of it: a live frame on
// a terminal, plain lines elsewhere.
type show struct {
	app   *app
	frame func(view) string
	live  *live // nil when not on a terminal
	note  string
	tick  int
}

func (a *app) newShow(frame func(view) string) *show {
	s := &show{app: a, frame: frame}
	if a.err.terminal {
		s.live = &live{out: a.err}
	}
	return s
}

const framesPerSecond = 10

// run calls take with every update and prints the line that it returns, if
// any.
func (s *show) run(ctx context.Context, c *web.Client, q web.Query, take func(web.Update) (string, error)) error {
	return pump(ctx, s, func(ctx context.Context, send func(web.Update) error, lost func(error)) error {
		return c.Follow(ctx, q, send, lost)
	}, take)
}

// pump is run for any stream.
func pump[U any](ctx context.Context, s *show, follow func(ctx context.Context, send func(U) error, lost func(error)) error,
	take func(U) (string, error),
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(chan U)
	lost := make(chan error)
	done := make(chan error, 1)
	send := func(u U) error {
		select {
		case updates <- u:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	go func() {
		done <- follow(ctx, send, func(err error) {
			select {
			case lost <- err:
			case <-ctx.Done():
			}
		})
	}()
	var frames <-chan time.Time
	if s.live != nil {
		ticker := time.NewTicker(time.Second / framesPerSecond)
		defer ticker.Stop()
		frames = ticker.C
	}
	for {
		select {
		case err := <-done:
			return err
		case err := <-lost:
			s.note = "the daemon is away, waiting for it: " + err.Error()
			if s.live == nil {
				s.print(s.note)
			}
		case u := <-updates:
			s.note = ""
			line, err := take(u)
			if line != "" {
				s.print(line)
			}
			if err != nil {
				cancel()
				<-done
				return err
			}
		case <-frames:
			s.tick++
			s.draw()
		}
	}
}

func (s *show) print(line string) {
	if s.live != nil {
		s.live.print(line)
		return
	}
	fmt.Fprintln(s.app.err, line)
}

func (s *show) draw() {
	width, height := s.app.err.size()
	s.live.draw(s.frame(view{now: s.app.now(), tick: s.tick, width: width, height: height, note: s.note, paint: s.app.err.paint}))
}

// end draws the last frame and leaves it.
func (s *show) end() {
	if s.live != nil {
		s.draw()
		s.live.end()
	}
}

// plainLine is what a log file gets to see of u: changes of state, beginnings
// of steps, and notices. Not every step comes with an event.
func (a *app) plainLine(u web.Update, s *story) string {
	switch {
	case a.err.terminal:
		return ""
	case u.Host != nil && u.Host.Progress.Step != "" && u.Host.Progress.Step != s.told:
		s.told = u.Host.Progress.Step
		return eventLine(host.Event{
			Time: a.now(), MAC: u.Host.MAC, Host: u.Host.Name, Kind: host.KindProgress,
			Cause: u.Host.Progress.Step, Line: u.Host.Progress.Text,
		}, a.err.paint)
	case u.Event == nil || u.Event.Kind == host.KindLog:
		return ""
	case u.Event.Kind == host.KindState:
		s.told = ""
	case u.Event.Kind == host.KindProgress && s.told == u.Event.Cause:
		return ""
	case u.Event.Kind == host.KindProgress:
		s.told = u.Event.Cause
	}
	return eventLine(*u.Event, a.err.paint)
}

// eventLine is e for a person.
func eventLine(e host.Event, p paint) string {
	who := e.Host
	if who == "" && !e.MAC.IsZero() {
		who = e.MAC.String()
	}
	if who == "" {
		who = "appliance"
	}
	parts := []string{p.dim(e.Time.Local().Format("15:04:05")), p.bold(clean(who)) + " "}
	switch e.Kind {
	case host.KindState:
		parts = append(parts, p.state(e.To, pad(string(e.To), stateWidth)))
		if e.Cause != "" {
			parts = append(parts, clean(e.Cause))
		}
		if e.Actor != "" {
			parts = append(parts, p.dim("("+clean(e.Actor)+")"))
		}
	case host.KindLog:
		parts = append(parts, p.dim("│ "+clean(e.Line)))
	case host.KindNotice:
		parts = append(parts, p.yellow("note: "+clean(e.Cause)))
	default:
		parts = append(parts, "· "+clean(strings.TrimSpace(e.Cause+" "+e.Line)))
	}
	return strings.TrimRight(strings.Join(parts, " "), " ")
}
