package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"provision.internal/host"
	"provision.internal/upkeep"
)

// Dispatch begins a run.
func (c *Client) Dispatch(ctx context.Context, req upkeep.Request) (run host.Run, err error) {
	return run, c.call(ctx, http.MethodPost, pathRuns, req, &run)
}

// Runs lists the runs that are kept, the newest first.
func (c *Client) Runs(ctx context.Context) (all []host.Run, err error) {
	return all, c.call(ctx, http.MethodGet, pathRuns, nil, &all)
}

// CancelRun takes the run ref back.
func (c *Client) CancelRun(ctx context.Context, ref string) (run host.Run, err error) {
	return run, c.call(ctx, http.MethodPost, fill(pathRunCancel, ref), struct{}{}, &run)
}

// ConfigStatus asks how the configuration of all hosts stands.
func (c *Client) ConfigStatus(ctx context.Context) (st upkeep.Status, err error) {
	return st, c.call(ctx, http.MethodGet, pathConfigStatus, nil, &st)
}

// PauseConfig holds the schedule for d, or until ResumeConfig when d is zero.
func (c *Client) PauseConfig(ctx context.Context, d time.Duration) (u host.Upkeep, err error) {
	return u, c.call(ctx, http.MethodPost, pathConfigPause, Pause{For: d}, &u)
}

// ResumeConfig lets the schedule go on.
func (c *Client) ResumeConfig(ctx context.Context) (u host.Upkeep, err error) {
	return u, c.call(ctx, http.MethodPost, pathConfigResume, struct{}{}, &u)
}

// SetCommit says which commit hosts are to have.
func (c *Client) SetCommit(ctx context.Context, commit string) (u host.Upkeep, err error) {
	return u, c.call(ctx, http.MethodPut, pathConfigCommit, Commit{Commit: commit}, &u)
}

// FollowRun calls f with the run ref and its rows, and with each as it changes,
// until the run is over or f returns an error, which it returns. A daemon that
// goes away is waited for: lost is then called with the reason, once for each
// time, and f gets all rows again.
func (c *Client) FollowRun(ctx context.Context, ref string, f func(RunUpdate) error, lost func(error)) error {
	var wait time.Duration
	for {
		known, stop, err := c.runStream(ctx, ref, func(u RunUpdate) error {
			if u.Run != nil {
				ref = u.Run.ID // the last one is another one later
			}
			wait = 0
			return f(u)
		})
		var refused *Error
		switch {
		case stop || err == nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &refused), !known && wait == 0:
			return err
		}
		if wait == 0 {
			lost(err)
		}
		wait = min(wait*2+100*time.Millisecond, 2*time.Second)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// errCut is a stream that ended before its run.
var errCut = errors.New("the stream ended before the run")

// runStream reads one answer to its end, which is nil when the run is over. known
// tells that the daemon has answered, stop that the error is f's.
func (c *Client) runStream(ctx context.Context, ref string, f func(RunUpdate) error) (known, stop bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := c.Silence
	if silence == 0 {
		silence = 30 * time.Second
	}
	silent := time.AfterFunc(silence, func() { cancel(fmt.Errorf("%w: silent for %s", ErrUnreachable, silence)) })
	defer silent.Stop()
	resp, err := c.do(ctx, http.MethodGet, fill(pathRunRows, ref)+"?follow=1", nil)
	if err != nil {
		return false, false, err
	}
	defer func() { _ = resp.Body.Close() }() // nothing to flush
	over := false
	for in := bufio.NewReader(resp.Body); ; {
		line, err := in.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && over:
			return true, false, nil
		case err != nil && context.Cause(ctx) != nil:
			return true, false, context.Cause(ctx)
		case err != nil:
			return true, false, fmt.Errorf("%w: %w", ErrUnreachable, errCut)
		}
		silent.Reset(silence)
		var u RunUpdate
		if err := json.Unmarshal(line, &u); err != nil {
			return true, false, fmt.Errorf("stream of a run: %w", err)
		}
		over = over || u.Run != nil && u.Run.Over()
		if err := f(u); err != nil {
			return true, true, err
		}
	}
}
