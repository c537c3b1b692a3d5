package nomadtest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// event is one change, in the words of the wire. Its payload is encoded when it
// happens: later changes of the object do not show in it.
type event struct {
	FilterKeys []string
	Index      uint64
	Key        string
	Namespace  string
	Payload    json.RawMessage
	Topic      string
	Type       string
}

// batch is what happened at one index: one line of the stream.
type batch struct {
	Events []event
	Index  uint64
}

// memory is how many batches a subscriber may be late. A real server keeps 100
// events for each of its topics by default, which is too few to test with a
// thousand hosts.
const memory = 50000

// publish makes the next index known, with its events, and wakes everybody who
// waits. Callers hold the lock, and have stamped s.index+1 on what they changed.
func (s *Server) publish(tables []table, events ...event) {
	s.index++
	for _, t := range tables {
		s.tables[t] = s.index
	}
	for i := range events {
		events[i].Index = s.index
	}
	if len(events) > 0 {
		s.past = append(s.past, batch{Events: events, Index: s.index})
		if len(s.past) > memory {
			s.past = slices.Clone(s.past[len(s.past)-memory/2:])
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func payload(kind string, v any) json.RawMessage {
	b, err := json.Marshal(map[string]any{kind: v})
	if err != nil {
		panic("nomadtest: " + err.Error()) // our own types: cannot fail
	}
	return b
}

// topics is what a subscriber asked for: keys by topic, "*" for all.
type topics map[string][]string

func parseTopics(values []string) (topics, error) {
	t := topics{}
	for _, v := range values {
		parts := strings.Split(v, ":")
		switch len(parts) {
		case 1:
			t[parts[0]] = append(t[parts[0]], "*")
		case 2:
			t[parts[0]] = append(t[parts[0]], parts[1])
		default:
			return nil, refuse(http.StatusBadRequest,
				"Invalid topic query: error parsing topics: Invalid key value pair for topic, topic: %s", v)
		}
	}
	if len(t) == 0 {
		t["*"] = []string{"*"}
	}
	return t, nil
}

// need says who may subscribe: the topics of namespaces want read-job, nodes want
// node read, the others a management token.
func (t topics) need(a access, namespace string) bool {
	for topic := range t {
		n := management
		switch topic {
		case "Job", "Allocation", "Evaluation", "Deployment", "Service":
			n = may("read-job")
		case "Node":
			n = readNode
		}
		if !n(a, namespace) {
			return false
		}
	}
	return true
}

func (t topics) want(e event, namespace string) bool {
	if e.Namespace != "" && namespace != "*" && e.Namespace != namespace {
		return false
	}
	for _, keys := range [][]string{t[e.Topic], t["*"]} {
		for _, k := range keys {
			if k == "*" || k == e.Key || slices.Contains(e.FilterKeys, k) {
				return true
			}
		}
	}
	return false
}

// stream is the event stream. It is authorised after its 200 is sent, as since
// 1.11.2: who is refused sees an open connection and no byte.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	topics, err := parseTopics(r.URL.Query()["topic"])
	if err != nil {
		s.refuse(w, err)
		return
	}
	namespace := r.FormValue("namespace")
	if namespace == "" {
		namespace = "default"
	}
	index, _ := strconv.ParseUint(r.FormValue("index"), 10, 64)

	h := w.Header()
	h.Set("Connection", "close")
	h.Set("Transfer-Encoding", "identity") // lines up to the connection's end, not chunks
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "application/json")
	h.Add("Vary", "Accept-Encoding")
	h["Date"] = nil
	out := http.NewResponseController(w)
	if out.Flush() != nil {
		return
	}
	s.mu.Lock()
	epoch, silent := s.epoch, s.faults.silent
	denied := s.want(request{Request: r, namespace: namespace}, topics.need) != nil
	s.mu.Unlock()
	if silent || denied {
		select {
		case <-epoch:
		case <-r.Context().Done():
		}
		return
	}

	beat := time.NewTicker(s.beat())
	defer beat.Stop()
	if !say(w, out, "{}\n") {
		return
	}
	for {
		lines, changed := s.since(&index, topics, namespace)
		if lines != "" && !say(w, out, lines) {
			return
		}
		select {
		case <-changed:
		case <-beat.C:
			if s.muted() {
				continue
			}
			if !say(w, out, "{}\n") {
				return
			}
		case <-epoch:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func say(w io.Writer, out *http.ResponseController, lines string) bool {
	if _, err := io.WriteString(w, lines); err != nil {
		return false
	}
	return out.Flush() == nil
}

// since returns what happened from *index on, and moves it past that.
func (s *Server) since(index *uint64, t topics, namespace string) (lines string, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults.silent {
		return "", s.changed
	}
	from, _ := slices.BinarySearchFunc(s.past, *index, func(b batch, i uint64) int {
		switch {
		case b.Index < i:
			return -1
		case b.Index > i:
			return 1
		}
		return 0
	})
	var b strings.Builder
	for _, one := range s.past[from:] {
		wanted := batch{Index: one.Index}
		for _, e := range one.Events {
			if t.want(e, namespace) {
				wanted.Events = append(wanted.Events, e)
			}
		}
		if len(wanted.Events) > 0 {
			line, err := json.Marshal(wanted)
			if err != nil {
				panic("nomadtest: " + err.Error())
			}
			b.Write(line)
			b.WriteByte('\n')
		}
		*index = one.Index + 1
	}
	return b.String(), s.changed
}
