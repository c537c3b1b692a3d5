package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"provision.internal/cluster"
	"provision.internal/host"
	"provision.internal/store"
)

// scriptCluster is a cluster that comes up when the script says so.
type scriptCluster struct {
	store *store.Store

	mu      sync.Mutex
	status  cluster.Status
	changed chan struct{}
	plan    cluster.Plan
}

func newScriptCluster(st *store.Store) *scriptCluster {
	return &scriptCluster{
		store: st, changed: make(chan struct{}), status: cluster.Status{State: cluster.StateNotAsked},
		plan: cluster.Plan{
			Changes: []cluster.Change{{Kind: cluster.KindPolicy, Name: "proxy", Action: cluster.ActionChange, Fields: []cluster.Field{
				{Name: "rules", Before: "namespace \"*\" {}", After: "namespace \"default\" {}"},
			}}},
			Foreign: []string{"policy/somebodys"},
		},
	}
}

// change changes the status, and wakes who waits for it.
func (c *scriptCluster) change(f func(*cluster.Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.status)
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *scriptCluster) now() cluster.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

func (c *scriptCluster) asked() bool { return c.now().State != cluster.StateNotAsked }

func (c *scriptCluster) found() {
	c.change(func(st *cluster.Status) {
		*st = cluster.Status{
			State: cluster.StateFounded, Asked: st.Asked, By: st.By, Founded: time.Now(), Expect: 3, Leader: "10.77.0.11:4647",
			Servers: []cluster.Member{
				{Name: "node1", Address: "10.77.0.11", Status: "alive", Version: "2.0.6", Leader: true},
				{Name: "node2", Address: "10.77.0.12", Status: "failed", Version: "2.0.6"},
			},
			Missing: []string{"node2", "node3"},
		}
	})
}

func (c *scriptCluster) Ask(_ context.Context, by string) error {
	c.change(func(st *cluster.Status) {
		if st.State == cluster.StateNotAsked {
			*st = cluster.Status{State: cluster.StateFounding, Asked: time.Now(), By: by, Expect: 3, Waits: "the servers have elected no leader yet", Missing: []string{"node1", "node2", "node3"}}
		}
	})
	return nil
}

func (c *scriptCluster) Founded() bool { return c.now().State == cluster.StateFounded }
func (c *scriptCluster) Waits() string { return c.now().Waits }

func (c *scriptCluster) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *scriptCluster) Status(context.Context) (cluster.Status, error) { return c.now(), nil }

func (c *scriptCluster) Plan(context.Context) (cluster.Plan, error) {
	st := c.now()
	switch {
	case st.State != cluster.StateFounded:
		return cluster.Plan{}, cluster.ErrNotFounded
	case st.Trouble != "":
		return cluster.Plan{}, errors.New(st.Trouble)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plan, nil
}

func (c *scriptCluster) Apply(context.Context, cluster.Plan) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plan.Changes = nil
	return nil
}

func (*scriptCluster) Spare(context.Context, string) error { return nil }

func (c *scriptCluster) Reveal(by string) (string, error) {
	if !c.Founded() {
		return "", cluster.ErrNotAsked
	}
	return "the-management-token", c.store.Record(host.Event{Kind: host.KindNotice, Actor: by, Cause: "the cluster's management token was shown"})
}
