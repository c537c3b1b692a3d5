package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"provision.internal/host"
	"provision.internal/upkeep"
)

// Upkeep is the configuration of many hosts as the operators' requests need it.
type Upkeep interface {
	Dispatch(req upkeep.Request, by string) (host.Run, error)
	Runs() ([]host.Run, error)
	Follow(ref string) (*upkeep.Stream, error)
	Cancel(ref, by string) (host.Run, error)
	Status() upkeep.Status
	Pause(d time.Duration, by string) (host.Upkeep, error)
	Resume() (host.Upkeep, error)
	SetCommit(commit, by string) (host.Upkeep, error)
}

// RunUpdate is one line of a run's stream: the run, or one host's row in it. A
// line with neither is a heartbeat. The run comes first, and once more as the last
// line when it ends while somebody follows.
type RunUpdate struct {
	Run *host.Run `json:"run,omitempty"`
	Row *host.Row `json:"row,omitempty"`
}

// Pause asks to hold the schedule.
type Pause struct {
	For time.Duration `json:"for,omitempty"` // ns; zero: until it is resumed
}

// Commit says which commit hosts are to have.
type Commit struct {
	Commit string `json:"commit"`
}

// Paths of the configuration. {ref} is a run's ID, or "last".
const (
	pathRuns         = "/v1/config/runs"
	pathRunRows      = "/v1/config/runs/{ref}/rows"
	pathRunCancel    = "/v1/config/runs/{ref}/cancel"
	pathConfigStatus = "/v1/config/status"
	pathConfigPause  = "/v1/config/pause"
	pathConfigResume = "/v1/config/resume"
	pathConfigCommit = "/v1/config/commit"
)

// upkeepCodes are the refusals of runs.
var upkeepCodes = []refusal{
	{upkeep.ErrInvalid, CodeInvalid, http.StatusBadRequest},
	{upkeep.ErrUnknown, CodeUnknown, http.StatusNotFound},
	{upkeep.ErrBusy, CodeConflict, http.StatusConflict},
	{upkeep.ErrOver, CodeState, http.StatusConflict},
}

// routeRuns adds what concerns the configuration of many hosts.
func (s *Server) routeRuns(handle func(pattern string, f func(http.ResponseWriter, *http.Request) error)) {
	handle("POST "+pathRuns, func(w http.ResponseWriter, r *http.Request) error {
		var req upkeep.Request
		if err := decode(r, &req); err != nil {
			return err
		}
		run, err := s.Upkeep.Dispatch(req, actor(r))
		return resultOf(w, run, err)
	})
	handle("GET "+pathRuns, func(w http.ResponseWriter, _ *http.Request) error {
		all, err := s.Upkeep.Runs()
		if err == nil && all == nil {
			all = []host.Run{}
		}
		return resultOf(w, all, err)
	})
	handle("GET "+pathRunRows, s.runRows)
	handle("POST "+pathRunCancel, func(w http.ResponseWriter, r *http.Request) error {
		run, err := s.Upkeep.Cancel(r.PathValue("ref"), actor(r))
		return resultOf(w, run, err)
	})
	handle("GET "+pathConfigStatus, func(w http.ResponseWriter, _ *http.Request) error { return answer(w, s.Upkeep.Status()) })
	handle("POST "+pathConfigPause, func(w http.ResponseWriter, r *http.Request) error {
		var req Pause
		if err := decode(r, &req); err != nil {
			return err
		}
		u, err := s.Upkeep.Pause(req.For, actor(r))
		return resultOf(w, u, err)
	})
	handle("POST "+pathConfigResume, func(w http.ResponseWriter, _ *http.Request) error {
		u, err := s.Upkeep.Resume()
		return resultOf(w, u, err)
	})
	handle("PUT "+pathConfigCommit, func(w http.ResponseWriter, r *http.Request) error {
		var req Commit
		if err := decode(r, &req); err != nil {
			return err
		}
		u, err := s.Upkeep.SetCommit(req.Commit, actor(r))
		return resultOf(w, u, err)
	})
}

func resultOf[T any](w http.ResponseWriter, v T, err error) error {
	if err != nil {
		return err
	}
	return answer(w, v)
}

// runRows answers with a run and its rows, one JSON object a line: first as they
// are, then, with follow=1, as they change, until the run is over. In silence
// there are heartbeats.
func (s *Server) runRows(w http.ResponseWriter, r *http.Request) error {
	stream, err := s.Upkeep.Follow(r.PathValue("ref"))
	if err != nil {
		return err
	}
	follow := r.FormValue("follow") == "1"
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Accel-Buffering", "no")
	enc, rc := json.NewEncoder(w), http.NewResponseController(w)
	beat := s.Beat
	if beat == 0 {
		beat = 10 * time.Second
	}
	// From here on the status is sent; what fails now can only end the answer.
	for first := true; ; first = false {
		run, rows, more := stream.Next()
		if err := s.sendRun(enc, rc, first, run, rows, more == nil); err != nil {
			s.Log.Debug("stream of a run ended", "run", run.ID, "err", err)
			return nil
		}
		if more == nil || !follow {
			return nil
		}
		if !waitRun(r, more, beat) {
			return nil
		}
	}
}

func (s *Server) sendRun(enc *json.Encoder, rc *http.ResponseController, first bool, run host.Run, rows []host.Row, over bool) error {
	if err := rc.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return fmt.Errorf("deadline: %w", err)
	}
	var lines []RunUpdate
	if first {
		lines = append(lines, RunUpdate{Run: &run})
	}
	for i := range rows {
		lines = append(lines, RunUpdate{Row: &rows[i]})
	}
	if over && !first || len(lines) == 0 {
		lines = append(lines, RunUpdate{})
		if over {
			lines[len(lines)-1].Run = &run
		}
	}
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return rc.Flush()
}

// waitRun returns when there is more to send, or nothing was for too long, and
// false when nobody reads any more. Changes that come together leave together.
func waitRun(r *http.Request, more <-chan struct{}, beat time.Duration) bool {
	silence := time.NewTimer(beat)
	defer silence.Stop()
	select {
	case <-more:
	case <-silence.C:
		return true
	case <-r.Context().Done():
		return false
	}
	breathe := time.NewTimer(breath)
	defer breathe.Stop()
	select {
	case <-breathe.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
