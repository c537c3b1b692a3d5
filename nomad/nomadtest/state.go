package nomadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/api"
)

// state is what a server keeps on disk. Events are not among it: nor does a real
// server tell old ones after a restart.
type state struct {
	Index        uint64
	Tables       map[table]uint64
	Bootstrapped uint64
	Key          []byte // signs introduction tokens
	Tokens       []*api.ACLToken
	Policies     []*api.ACLPolicy
	Namespaces   map[string]*api.Namespace
	Pools        map[string]*api.NodePool
	Nodes        []savedNode
	Variables    []*api.Variable
	Jobs         []*api.Job
	Evals        map[string]*api.Evaluation
	Allocs       map[string]*api.Allocation
}

type savedNode struct {
	Node    *api.Node
	Secret  string
	Static  map[string]string
	Dynamic map[string]*string
}

// Files in Dir.
const (
	stateFile = "state.json"
	outputDir = "output"
)

// encode returns the state. Callers hold the lock.
func (s *Server) encode() ([]byte, error) {
	out := state{
		Index: s.index, Tables: s.tables, Bootstrapped: s.bootstrapped, Key: s.key, Namespaces: s.namespaces, Pools: s.pools,
		Evals: s.evals, Allocs: s.allocs,
	}
	for _, t := range s.tokensInOrder() {
		out.Tokens = append(out.Tokens, t.ACLToken)
	}
	for _, p := range s.policies {
		out.Policies = append(out.Policies, p.ACLPolicy)
	}
	for _, n := range s.nodes {
		out.Nodes = append(out.Nodes, savedNode{n.Node, n.secret, n.static, n.dynamic})
	}
	for _, v := range s.variables {
		out.Variables = append(out.Variables, v)
	}
	for _, j := range s.jobs {
		out.Jobs = append(out.Jobs, j)
	}
	return json.Marshal(out)
}

// restore reads what an earlier process has kept. Nodes have a whole TTL to be
// heard again, as after a real server's restart.
func (s *Server) restore() error {
	if s.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, outputDir), 0o700); err != nil {
		return fmt.Errorf("server's state: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(s.Dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("server's state: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	in := state{Namespaces: s.namespaces, Pools: s.pools, Evals: s.evals, Allocs: s.allocs, Tables: s.tables}
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("server's state in %s: %w", s.Dir, err)
	}
	if !in.whole() {
		return fmt.Errorf("server's state in %s is damaged: remove it to begin anew", s.Dir)
	}
	s.index, s.bootstrapped, s.key = in.Index, in.Bootstrapped, in.Key
	for _, t := range in.Tokens {
		s.tokens[t.SecretID] = &token{ACLToken: t}
	}
	for _, p := range in.Policies {
		read, wrong := parseRules(p.Rules)
		if wrong != "" {
			return fmt.Errorf("server's state in %s: policy %s: %s", s.Dir, p.Name, wrong)
		}
		s.policies[p.Name] = &policy{p, read}
	}
	for _, n := range in.Nodes {
		s.keepNode(&node{Node: n.Node, secret: n.Secret, static: n.Static, dynamic: n.Dynamic, work: make(chan struct{})})
	}
	for _, v := range in.Variables {
		s.variables[name{v.Namespace, v.Path}] = v
	}
	for _, j := range in.Jobs {
		s.jobs[name{*j.Namespace, *j.ID}] = j
	}
	s.kept = s.index
	return s.restoreOutput()
}

// whole reports whether nothing is missing that encode writes.
func (s state) whole() bool {
	no := slices.Contains(s.Tokens, nil) || slices.Contains(s.Policies, nil) || slices.Contains(s.Variables, nil) ||
		slices.ContainsFunc(s.Nodes, func(n savedNode) bool { return n.Node == nil }) ||
		slices.ContainsFunc(s.Jobs, func(j *api.Job) bool {
			return j == nil || j.ID == nil || j.Namespace == nil || j.Status == nil || j.Stop == nil
		}) ||
		slices.Contains(slices.Collect(maps.Values(s.Evals)), nil) || slices.Contains(slices.Collect(maps.Values(s.Allocs)), nil) ||
		slices.Contains(slices.Collect(maps.Values(s.Pools)), nil) || slices.Contains(slices.Collect(maps.Values(s.Namespaces)), nil)
	return !no && s.Tables != nil
}

// restoreOutput reads what tasks had written.
func (s *Server) restoreOutput() error {
	dir := filepath.Join(s.Dir, outputDir)
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("tasks' output: %w", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return fmt.Errorf("tasks' output: %w", err)
		}
		s.output[strings.ReplaceAll(f.Name(), ":", "/")] = text[max(0, len(text)-keep):]
	}
	return nil
}

// keepOutput adds to what the task of key has written, which key names as
// ALLOCATION/TASK/STREAM. Like a client's own files it is not synced.
func (s *Server) keepOutput(key string, text []byte) error {
	if s.Dir == "" {
		return nil
	}
	name := filepath.Join(s.Dir, outputDir, strings.ReplaceAll(key, "/", ":"))
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// persist writes the state down after each change, several at once when they come
// faster than the disk, until ctx ends.
func (s *Server) persist(ctx context.Context) {
	for {
		s.mu.Lock()
		changed, index, due := s.changed, s.index, s.index != s.kept
		var text []byte
		var err error
		if due {
			text, err = s.encode()
		}
		s.mu.Unlock()
		if due {
			if err == nil {
				err = replace(filepath.Join(s.Dir, stateFile), text)
			}
			s.mu.Lock()
			if s.tried, s.keepErr = index, err; err == nil {
				s.kept = index
			}
			close(s.keptNow)
			s.keptNow = make(chan struct{})
			s.mu.Unlock()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// durable waits until all that has happened so far is on disk: what a server has
// answered is not lost with its power.
func (s *Server) durable(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	index := s.index
	for s.kept < index && s.tried < index && ctx.Err() == nil {
		wait := s.keptNow
		s.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
	if s.kept < index {
		return fmt.Errorf("keep the state in %s: %w", s.Dir, errors.Join(ctx.Err(), s.keepErr))
	}
	return nil
}

// replace writes a file whole or not at all.
func replace(file string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone by its name already where all went well
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
