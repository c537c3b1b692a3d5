package nomad

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/api"
)

// Node is a cluster member as the cluster sees it.
type Node struct {
	ID, Name, Pool string
	Status         string // initializing, ready, down, disconnected
	Eligible       bool
	Drivers        map[string]string // detected ones; why one is not healthy, "" when it is

	created, modified uint64
}

func nodeOf(s *api.NodeListStub) Node {
	n := Node{
		ID: s.ID, Name: s.Name, Pool: s.NodePool, Status: s.Status,
		Eligible: s.SchedulingEligibility == api.NodeSchedulingEligible,
		Drivers:  map[string]string{},
		created:  s.CreateIndex, modified: s.ModifyIndex,
	}
	for name, d := range s.Drivers {
		switch {
		case d == nil || !d.Detected:
		case d.Healthy:
			n.Drivers[name] = ""
		default:
			n.Drivers[name] = cmp.Or(d.HealthDescription, "unhealthy")
		}
	}
	return n
}

// obstacle says why n cannot take a job that needs drivers; empty when it can.
func (n Node) obstacle(drivers []string) string {
	switch {
	case n.Status != api.NodeStatusReady:
		return "the node is " + cmp.Or(n.Status, "unknown")
	case !n.Eligible:
		return "the node is not eligible for work: run nomad node eligibility -enable " + n.ID
	}
	for _, d := range drivers {
		why, detected := n.Drivers[d]
		switch {
		case !detected:
			return fmt.Sprintf("the node has no task driver %s: install it, or change the job", d)
		case why != "":
			return fmt.Sprintf("the task driver %s is not healthy: %s", d, why)
		}
	}
	return ""
}

// named returns the newest node record with the name. Older ones belong to
// former installations of the host that nobody purged; they may still be called
// ready until their heartbeat is missed.
func (v *view) named(name string) (newest Node, ok bool) {
	for _, n := range v.nodes {
		if n.Name == name && (!ok || n.created > newest.created) {
			newest, ok = n, true
		}
	}
	return newest, ok
}

// twins returns the living nodes called name when there are several.
func (v *view) twins(name string) (ids []string) {
	for _, n := range v.nodes {
		if n.Name == name && n.Status != api.NodeStatusDown {
			ids = append(ids, n.ID)
		}
	}
	if len(ids) < 2 {
		return nil
	}
	slices.Sort(ids)
	return ids
}

// outlived returns the living node that has the name of n, which is down; empty
// when there is none.
func (v *view) outlived(n Node) (id string) {
	for _, o := range v.nodes {
		if o.Name == n.Name && n.Status == api.NodeStatusDown && o.Status != api.NodeStatusDown {
			return o.ID
		}
	}
	return ""
}

// WaitNode returns when the node called name is ready, eligible and has the
// healthy drivers. When ctx ends first, the error says what was missing.
func (c *Cluster) WaitNode(ctx context.Context, name string, drivers ...string) (Node, error) {
	return c.awaitNode(ctx, name, func(n Node) string { return n.obstacle(drivers) })
}

// Alive reports whether a node called name is in the cluster and not down. known is
// false while the cluster does not answer.
func (c *Cluster) Alive(name string) (alive, known bool) {
	c.view.mu.Lock()
	defer c.view.mu.Unlock()
	n, ok := c.view.named(name)
	return ok && n.Status != api.NodeStatusDown, c.view.listed && c.view.trouble == nil
}

// WaitMember returns when the node called name is ready, eligible and out of
// quarantine.
func (c *Cluster) WaitMember(ctx context.Context, name string) (Node, error) {
	quarantine := c.cfg.poolOf(Client{Quarantine: true})
	return c.awaitNode(ctx, name, func(n Node) string {
		if c.cfg.Quarantines() && n.Pool == quarantine {
			return "the node is still in the pool " + n.Pool + ": look at the services provision-firstboot and nomad on the host"
		}
		return n.obstacle(nil)
	})
}

// awaitNode returns when the one living node called name has no obstacle any more.
func (c *Cluster) awaitNode(ctx context.Context, name string, obstacle func(Node) string) (Node, error) {
	w, stop := c.view.wait(name, "")
	defer stop()
	for {
		c.view.mu.Lock()
		n, known := c.view.named(name)
		twins, outlived := c.view.twins(name), c.view.outlived(n)
		listed, trouble := c.view.listed, c.view.trouble
		c.view.mu.Unlock()

		missing := "it has not registered: look at the nomad service on the host (sv status nomad, /var/log/nomad)"
		switch {
		case trouble != nil:
			missing = trouble.Error()
		case !listed:
			missing = "the cluster at " + c.cfg.Address + " has not answered yet"
		case twins != nil:
			missing = "it has joined more than once, as the living nodes " + strings.Join(twins, " and ") +
				": two machines run with this name, or with copies of one disk; switch one off, and purge its node"
		case outlived != "":
			missing = "its newest node " + n.ID + " is down, while the older " + outlived + " lives: purge the node whose machine was switched off"
		case known:
			missing = obstacle(n)
		}
		if known && missing == "" {
			return n, nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return n, fmt.Errorf("wait for node %s: %s: %w", name, missing, context.Cause(ctx))
		}
	}
}

// drain has the work of a node that will not come back moved elsewhere, at once.
func (c *Cluster) drain(ctx context.Context, id string) error {
	return c.call(ctx, "drain node "+id, func(ctx context.Context) error {
		_, err := c.api.Nodes().UpdateDrainOpts(id, &api.DrainOptions{
			DrainSpec: &api.DrainSpec{Deadline: -1}, // forced
		}, write(ctx))
		if _, body := answer(err); strings.Contains(body, "node not found") {
			return nil
		}
		return err
	})
}

// PurgeStale drains and removes the records that former installations of a host left
// under its name, before it joins again: otherwise the old record and the new
// one are listed side by side, and an old identity locks the new one out.
// previous is the node ID that the host had before, if known. A living node
// that is not it belongs to another machine: ErrNameTaken. Call it before a
// fresh installation joins and not afterwards, when it would purge the node
// itself.
func (c *Cluster) PurgeStale(ctx context.Context, name, previous string) error {
	var stubs []*api.NodeListStub
	err := c.call(ctx, "list the nodes", func(ctx context.Context) (err error) {
		q := query(ctx)
		q.Filter = fmt.Sprintf("Name == %q", name) // a thousand that enrol at once ask for a thousand nodes otherwise
		stubs, _, err = c.api.Nodes().List(q)
		return err
	})
	if err != nil {
		return err
	}
	stubs = slices.DeleteFunc(stubs, func(s *api.NodeListStub) bool { return s.Name != name })
	for _, s := range stubs {
		if s.ID != previous && s.Status != api.NodeStatusDown {
			return fmt.Errorf("%w: %s is %s as node %s: rename one of them, or stop that node and purge it",
				ErrNameTaken, name, s.Status, s.ID)
		}
	}
	for _, s := range stubs {
		if s.Status != api.NodeStatusDown {
			if err := c.drain(ctx, s.ID); err != nil {
				return err
			}
		}
		index := s.ModifyIndex
		err := c.call(ctx, "purge node "+s.ID, func(ctx context.Context) error {
			purged, _, err := c.api.Nodes().Purge(s.ID, query(ctx))
			if _, body := answer(err); strings.Contains(body, "node not found") {
				return nil // somebody else did
			}
			if err == nil {
				index = purged.NodeModifyIndex
			}
			return err
		})
		if err != nil {
			return err
		}
		c.view.forget(s.ID, index)
	}
	return nil
}
