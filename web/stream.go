package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"provision.internal/host"
)

const (
	page       = 1000                   // events read at once
	maxTail    = 100_000                // events kept for Tail
	breath     = 100 * time.Millisecond // between two batches: a storm of changes is shown, not relived
	writeLimit = 10 * time.Second       // a reader that takes nothing for so long is cut off
)

// values writes q as a URL query; parseQuery reads it.
func (q Query) values(follow bool) url.Values {
	v := url.Values{}
	if q.Host != "" {
		v.Set("host", q.Host)
	}
	if q.After > 0 {
		v.Set("after", strconv.FormatUint(q.After, 10))
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if q.Tail > 0 {
		v.Set("tail", strconv.Itoa(q.Tail))
	}
	if follow {
		v.Set("follow", "1")
	}
	return v
}

func parseQuery(v url.Values) (q Query, follow bool, err error) {
	q.Host = v.Get("host")
	if s := v.Get("after"); s != "" {
		if q.After, err = strconv.ParseUint(s, 10, 64); err != nil {
			return q, false, fmt.Errorf("%w: after: %q is no event ID", ErrInvalid, s)
		}
	}
	if s := v.Get("since"); s != "" {
		if q.Since, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return q, false, fmt.Errorf("%w: since: %q is no time as in RFC 3339", ErrInvalid, s)
		}
	}
	if s := v.Get("tail"); s != "" {
		if q.Tail, err = strconv.Atoi(s); err != nil || q.Tail < 0 || q.Tail > maxTail {
			return q, false, fmt.Errorf("%w: tail: %q is no number up to %d", ErrInvalid, s, maxTail)
		}
	}
	return q, v.Get("follow") == "1", nil
}

// events answers with updates, one JSON object a line. With follow=1 the
// answer goes on as things happen, with the hosts' states between the events
// and heartbeats in silence; after=ID resumes it.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	q, follow, err := parseQuery(r.URL.Query())
	if err != nil {
		return err
	}
	st := stream{server: s, query: q, enc: json.NewEncoder(w), rc: http.NewResponseController(w)}
	if q.Host != "" {
		h, err := s.find(q.Host)
		if err != nil {
			return err
		}
		st.mac = h.MAC
	}
	// Watching begins before the first reading, so that nothing falls between.
	changed, stop := s.History.Watch()
	defer stop()
	first, err := st.first()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Accel-Buffering", "no")
	// From here on the status is sent; what fails now can only end the answer.
	if err := st.send(first, follow); err != nil || !follow {
		return nil
	}
	if err := st.follow(r.Context(), changed); err != nil {
		s.Log.Debug("event stream ended", "err", err)
	}
	return nil
}

// stream is one reader of the events.
type stream struct {
	server *Server
	query  Query
	mac    host.MAC
	enc    *json.Encoder
	rc     *http.ResponseController
	last   uint64                  // ID of the last event read
	shown  map[host.MAC]appearance // as last sent
}

// appearance is what readers of the stream see of a host; comparable.
type appearance struct {
	name, role, platform, held, address, node, port string
	state                                           host.State
	since                                           time.Time
	progress                                        host.Progress
	failure                                         host.Failure
}

func appearanceOf(h host.Host) appearance {
	a := appearance{
		name: h.Name, role: h.Role, platform: h.Platform, held: h.Held, address: h.Address.String(), node: h.Node, port: h.Port,
		state: h.State, since: h.Since, progress: h.Progress,
	}
	if h.Failure != nil {
		a.failure = *h.Failure
	}
	return a
}

// first reads the history that the query selects.
func (st *stream) first() ([]host.Event, error) {
	st.last = st.query.After
	if n := uint64(st.query.Tail); n > 0 && st.mac.IsZero() {
		newest, err := st.server.History.LastEvent()
		if err != nil {
			return nil, err
		}
		st.last = max(st.last, newest-min(n, newest))
	}
	var all []host.Event
	for {
		events, err := st.more()
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if !e.Time.Before(st.query.Since) {
				all = append(all, e)
			}
		}
		if n := st.query.Tail; n > 0 && len(all) > 2*n {
			all = append(all[:0], all[len(all)-n:]...)
		}
	}
	if n := st.query.Tail; n > 0 && len(all) > n {
		all = all[len(all)-n:]
	}
	return all, nil
}

func (st *stream) more() ([]host.Event, error) {
	events, err := st.server.History.Events(st.mac, st.last, page)
	if len(events) > 0 {
		st.last = events[len(events)-1].ID
	}
	return events, err
}

// hosts returns those that look different from when they were last sent.
func (st *stream) hosts() []host.Host {
	if st.shown == nil {
		st.shown = make(map[host.MAC]appearance)
	}
	var out []host.Host
	if !st.mac.IsZero() {
		if h, err := st.server.Hosts.Host(st.mac); err == nil {
			out = append(out, h)
		}
	} else {
		out = st.server.Hosts.Hosts()
	}
	different := out[:0:0]
	for _, h := range out {
		if a := appearanceOf(h); st.shown[h.MAC] != a {
			st.shown[h.MAC] = a
			different = append(different, st.server.public(h))
		}
	}
	return different
}

func (st *stream) send(events []host.Event, withHosts bool) error {
	var hosts []host.Host
	if withHosts {
		hosts = st.hosts()
		// An event may have been added before the hosts were read. A reader
		// must never see a host's state before the event that led to it.
		for {
			more, err := st.more()
			if err != nil {
				return err
			}
			if len(more) == 0 {
				break
			}
			events = append(events, more...)
		}
	}
	if err := st.rc.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	for i := range events {
		if err := st.enc.Encode(Update{Event: &events[i]}); err != nil {
			return err
		}
	}
	for i := range hosts {
		if err := st.enc.Encode(Update{Host: &hosts[i]}); err != nil {
			return err
		}
	}
	return st.rc.Flush()
}

func (st *stream) follow(ctx context.Context, changed <-chan struct{}) error {
	beat := st.server.Beat
	if beat == 0 {
		beat = 10 * time.Second
	}
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := st.heartbeat(); err != nil {
				return err
			}
			continue
		case <-changed:
		}
		if err := st.send(nil, true); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(breath):
		}
	}
}

func (st *stream) heartbeat() error {
	if err := st.rc.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	if err := st.enc.Encode(Update{}); err != nil {
		return err
	}
	return st.rc.Flush()
}
