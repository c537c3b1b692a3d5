package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// report is what a run has done, as Ansible's JSON callback tells it.
type report struct {
	Custom       struct{}           `json:"custom_stats"`
	GlobalCustom struct{}           `json:"global_custom_stats"`
	Plays        []playReport       `json:"plays"`
	Stats        map[string]*totals `json:"stats"`

	hosts []string
}

// totals are one host's line in the recap.
type totals struct {
	Changed     int `json:"changed"`
	Failures    int `json:"failures"`
	Ignored     int `json:"ignored"`
	OK          int `json:"ok"`
	Rescued     int `json:"rescued"`
	Skipped     int `json:"skipped"`
	Unreachable int `json:"unreachable"`
}

type playReport struct {
	Play  header       `json:"play"`
	Tasks []taskReport `json:"tasks"`
}

type taskReport struct {
	Hosts map[string]result `json:"hosts"`
	Task  header            `json:"task"`
}

// header names a play or a task.
type header struct {
	Duration struct {
		End   time.Time `json:"end"`
		Start time.Time `json:"start"`
	} `json:"duration"`
	Name string `json:"name"`
	Path string `json:"path"`
}

func newReport(hosts []string) *report {
	return &report{Plays: []playReport{}, Stats: map[string]*totals{}, hosts: hosts}
}

// failed reports whether a task has failed on any host.
func (r *report) failed() bool {
	for _, s := range r.Stats {
		if s.Failures > 0 {
			return true
		}
	}
	return false
}

// play runs the tasks of p on its hosts. A host that has failed takes no further
// part.
func (r *report) play(p play, file string, o options) {
	out := playReport{Play: header{Name: p.Name, Path: file}, Tasks: []taskReport{}}
	out.Play.Duration.Start = time.Now().UTC()
	for _, t := range p.Tasks {
		m, err := t.module()
		if err != nil {
			continue // parsePlaybook has refused it
		}
		tr := taskReport{Hosts: map[string]result{}, Task: header{Name: t.Name, Path: file}}
		if t.Name == "" {
			tr.Task.Name = m.name()
		}
		tr.Task.Duration.Start = time.Now().UTC()
		for _, host := range r.hosts {
			if s := r.Stats[host]; !p.is(host) || s != nil && s.Failures > 0 {
				continue
			}
			res := m.run(host, o)
			res.Action = m.name()
			tr.Hosts[host] = res
			r.count(host, res)
		}
		tr.Task.Duration.End = time.Now().UTC()
		if len(tr.Hosts) > 0 {
			out.Tasks = append(out.Tasks, tr)
		}
	}
	out.Play.Duration.End = time.Now().UTC()
	r.Plays = append(r.Plays, out)
}

func (r *report) count(host string, res result) {
	s := r.Stats[host]
	if s == nil {
		s = new(totals)
		r.Stats[host] = s
	}
	switch {
	case res.Failed:
		s.Failures++
		return
	case res.Skipped:
		s.Skipped++
		return
	}
	s.OK++
	if res.Changed {
		s.Changed++
	}
}

func (r *report) writeJSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "    ")
	return e.Encode(r)
}

func (r *report) writeText(out io.Writer) error {
	fmt.Fprintln(out, "PLAY RECAP")
	for _, host := range r.hosts {
		s := r.Stats[host]
		if s == nil {
			continue
		}
		_, err := fmt.Fprintf(out, "%s : ok=%d changed=%d unreachable=%d failed=%d skipped=%d rescued=%d ignored=%d\n",
			host, s.OK, s.Changed, s.Unreachable, s.Failures, s.Skipped, s.Rescued, s.Ignored)
		if err != nil {
			return err
		}
	}
	return nil
}
