package nomad

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"
)

// view is what the stream has told so far: every node, and the followed jobs'
// evaluations and allocations. Values only move forward: what is older than
// what is known (the stream repeats events) is dropped.
type view struct {
	mu      sync.Mutex
	listed  bool
	trouble error // why the cluster cannot be followed now
	nodes   map[string]Node
	purged  map[string]uint64 // by node, the index of its purge
	jobs    map[string]*jobView
	waiters map[*waiter]struct{}
}

// jobView is one followed job. It is stale until its follower has listed it
// after the newest reconnection.
type jobView struct {
	stale  bool
	evals  map[string]*api.Evaluation
	allocs map[string]*api.AllocationListStub
}

// waiter is woken when the nodes called node, or the job, change.
type waiter struct {
	node, job string
	wake      chan struct{}
}

func (v *view) wait(node, job string) (w *waiter, stop func()) {
	w = &waiter{node: node, job: job, wake: make(chan struct{}, 1)}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.waiters == nil {
		v.waiters = map[*waiter]struct{}{}
		v.jobs = map[string]*jobView{}
	}
	v.waiters[w] = struct{}{}
	if job != "" {
		v.jobs[job] = &jobView{stale: true, evals: map[string]*api.Evaluation{}, allocs: map[string]*api.AllocationListStub{}}
	}
	return w, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.waiters, w)
		delete(v.jobs, job)
	}
}

// wakeAll is called with the lock held.
func (v *view) wakeAll(matches func(*waiter) bool) {
	for w := range v.waiters {
		if matches(w) {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
}

// list replaces the nodes: one that is no longer listed was purged.
func (v *view) list(stubs []*api.NodeListStub) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.listed, v.trouble = true, nil
	v.nodes = make(map[string]Node, len(stubs))
	for _, s := range stubs {
		v.note(s)
	}
	for _, j := range v.jobs {
		j.stale = true
	}
	v.wakeAll(func(*waiter) bool { return true })
}

func (v *view) setTrouble(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.trouble = err
}

// forget drops a node that was purged at index. No event tells of a purge, and those
// from before it may still be on their way.
func (v *view) forget(id string, index uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.nodes, id)
	if v.purged == nil {
		v.purged = map[string]uint64{}
	}
	v.purged[id] = index
}

// note takes a node that is newer than what is known, and reports whether it was:
// a living node comes back after its purge. It is called with the lock held.
func (v *view) note(s *api.NodeListStub) bool {
	if old, ok := v.nodes[s.ID]; ok && old.modified > s.ModifyIndex {
		return false
	}
	if at, ok := v.purged[s.ID]; ok && s.ModifyIndex <= at {
		return false
	}
	v.nodes[s.ID] = nodeOf(s)
	return true
}

func (v *view) apply(e events) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, one := range e.Events {
		p := one.Payload
		switch {
		case p.Node != nil:
			if v.note(p.Node) {
				v.wakeAll(func(w *waiter) bool { return w.node == p.Node.Name })
			}
		case p.Allocation != nil:
			v.merge(p.Allocation.JobID, nil, []*api.AllocationListStub{p.Allocation})
		case p.Evaluation != nil:
			v.merge(p.Evaluation.JobID, []*api.Evaluation{p.Evaluation}, nil)
		}
	}
}

// merge takes what is newer than known and wakes the job's followers. It is
// called with the lock held.
func (v *view) merge(job string, evals []*api.Evaluation, allocs []*api.AllocationListStub) {
	j := v.jobs[job]
	if j == nil {
		return
	}
	for _, e := range evals {
		if old := j.evals[e.ID]; old == nil || old.ModifyIndex < e.ModifyIndex {
			j.evals[e.ID] = e
		}
	}
	for _, a := range allocs {
		if old := j.allocs[a.ID]; old == nil || old.ModifyIndex < a.ModifyIndex {
			j.allocs[a.ID] = a
		}
	}
	v.wakeAll(func(w *waiter) bool { return w.job == job })
}

// Run follows the cluster until ctx ends, through restarts, elections and
// broken connections. It returns nil when it was asked to stop, and never
// otherwise: a cluster that is away is waited for.
func (c *Cluster) Run(ctx context.Context) error {
	pause := c.pace.backoff
	for {
		began := time.Now()
		err := c.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errSilent) {
			if denied := c.checkToken(ctx); denied != nil {
				err = denied
			}
		}
		c.view.setTrouble(err)
		c.log.WarnContext(ctx, "nomad cluster lost, will reconnect", "peer", c.cfg.Address, "err", err)
		if time.Since(began) > c.pace.silence {
			pause = c.pace.backoff
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
		pause = min(2*pause, 25*c.pace.backoff)
	}
}

// follow lists the nodes, then applies events from the listing's index on: what
// happens between the two is in the stream.
func (c *Cluster) follow(ctx context.Context) error {
	index, err := c.listNodes(ctx)
	if err != nil {
		return err
	}
	listed := time.Now()
	return c.stream(ctx, index, func(ctx context.Context, e events) error {
		c.view.apply(e)
		if time.Since(listed) < c.pace.relist {
			return nil
		}
		listed = time.Now()
		_, err := c.listNodes(ctx)
		return err
	})
}

func (c *Cluster) listNodes(ctx context.Context) (index uint64, err error) {
	err = c.call(ctx, "list the nodes", func(ctx context.Context) error {
		stubs, meta, err := c.api.Nodes().List(query(ctx))
		if err != nil {
			return err
		}
		index = meta.LastIndex
		c.view.list(stubs)
		return nil
	})
	return index, err
}
