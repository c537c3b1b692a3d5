package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/api"

	"provision.internal/nomad"
)

// The policies that are not declared one by one.
const (
	appliancePolicy = "provision"
	anonymousPolicy = "anonymous" // Nomad's name for who shows no token
)

// ServerPool is the default node pool of servers.
const ServerPool = "servers"

// anonymousRead shows everything but secrets, logs and files.
const anonymousRead = `namespace "*" {
  policy = "read"
}
node_pool "*" {
  policy = "read"
}
node {
  policy = "read"
}
agent {
  policy = "read"
}`

// applianceRules is all that the appliance's token needs: to run configuration
// jobs, to introduce, look at and purge nodes, and to list servers.
func applianceRules(namespace string) string {
	return fmt.Sprintf(`namespace %q {
  capabilities = ["list-jobs", "parse-job", "read-job", "submit-job", "read-logs"]
}
node {
  policy = "write"
}
agent {
  policy = "read"
}`, namespace)
}

// policies are those that shall be. An adopted cluster's token and anonymous
// policy are its operator's.
func (f *Founder) policies() (all []*api.ACLPolicy, err error) {
	c := f.site.Config
	if c.Founds() {
		all = append(all, &api.ACLPolicy{
			Name: appliancePolicy, Description: "the provisioning appliance", Rules: applianceRules(f.site.namespace()),
		})
	}
	if c.Anonymous == AnonymousRead {
		all = append(all, &api.ACLPolicy{Name: anonymousPolicy, Description: "who shows no token", Rules: anonymousRead})
	}
	for _, p := range c.Policies {
		rules, err := p.rules()
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", p.Name, err)
		}
		policy := &api.ACLPolicy{Name: p.Name, Description: p.Description, Rules: rules}
		if p.Job != nil {
			policy.JobACL = &api.JobACL{
				Namespace: cmp.Or(p.Job.Namespace, nomad.DefaultNamespace), JobID: p.Job.ID, Group: p.Job.Group, Task: p.Job.Task,
			}
		}
		all = append(all, policy)
	}
	return all, nil
}

// pools are those that shall be. Founding declares the pools that hosts come
// into, so that jobs may name them before any host does.
func (f *Founder) pools() (all []*api.NodePool) {
	add := func(name, description string) {
		if name != "" && name != nomad.DefaultPool && !slices.ContainsFunc(all, func(p *api.NodePool) bool { return p.Name == name }) {
			all = append(all, &api.NodePool{Name: name, Description: description})
		}
	}
	for _, p := range f.site.Config.Pools {
		add(p.Name, p.Description)
	}
	if f.site.Config.Founds() {
		add(ServerPool, "the cluster's servers")
		add(f.site.Nomad.Pool, "configured hosts")
		if f.site.Nomad.Quarantines() {
			add(cmp.Or(f.site.Nomad.Quarantine, nomad.DefaultQuarantine), "hosts that are not configured yet")
		}
	}
	return all
}

// Plan compares the cluster with what was declared. It changes nothing.
func (f *Founder) Plan(ctx context.Context) (Plan, error) {
	if !f.Founded() {
		return Plan{}, fmt.Errorf("%w: %s", ErrNotFounded, f.Waits())
	}
	return f.plan(ctx)
}

// ErrNotFounded: nothing can be planned or applied before the founding.
var ErrNotFounded = errors.New("the cluster is not founded yet")

// Apply carries out p, or ErrStale when the cluster would have another plan by now.
func (f *Founder) Apply(ctx context.Context, p Plan) error {
	if !f.Founded() {
		return fmt.Errorf("%w: %s", ErrNotFounded, f.Waits())
	}
	f.apply.Lock()
	defer f.apply.Unlock()
	now, err := f.plan(ctx)
	switch {
	case err != nil:
		return err
	case now.Fingerprint() != p.Fingerprint():
		return ErrStale
	}
	return f.carryOut(ctx, now.Changes)
}

func (f *Founder) plan(ctx context.Context) (p Plan, err error) {
	for _, part := range []func(context.Context, *Plan) error{f.planPolicies, f.planPools, f.planJob} {
		err := part(ctx, &p)
		if errors.Is(err, nomad.ErrDenied) {
			err = fmt.Errorf("%w (%w)", errNoManagement, err)
		}
		if err != nil {
			return Plan{}, err
		}
	}
	return p, nil
}

func (f *Founder) planPolicies(ctx context.Context, p *Plan) error {
	want, err := f.policies()
	if err != nil {
		return err
	}
	have := map[string]*api.ACLPolicy{}
	err = nomad.Call(ctx, "read the policies", func(ctx context.Context) error {
		stubs, _, err := f.manage.ACLPolicies().List(query(ctx))
		if err != nil {
			return err
		}
		for _, s := range stubs {
			if have[s.Name], _, err = f.manage.ACLPolicies().Info(s.Name, query(ctx)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, w := range want {
		h := have[w.Name]
		delete(have, w.Name)
		c := Change{Kind: KindPolicy, Name: w.Name, Action: ActionChange, policy: w}
		if h == nil {
			c.Action, h = ActionCreate, &api.ACLPolicy{}
		}
		c.Fields = differ(
			Field{"description", h.Description, w.Description},
			Field{"rules", strings.TrimSpace(h.Rules), w.Rules},
			Field{"job", jobText(h.JobACL), jobText(w.JobACL)})
		if c.Action == ActionCreate || len(c.Fields) > 0 {
			p.Changes = append(p.Changes, c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		f.surplus(p, KindPolicy, name)
	}
	return nil
}

func jobText(j *api.JobACL) string {
	if j == nil || j.JobID == "" {
		return ""
	}
	text := j.Namespace + "/" + j.JobID
	if j.Group != "" {
		text += "/" + j.Group
	}
	if j.Task != "" {
		text += "/" + j.Task
	}
	return text
}

func (f *Founder) planPools(ctx context.Context, p *Plan) error {
	have := map[string]*api.NodePool{}
	err := nomad.Call(ctx, "read the node pools", func(ctx context.Context) error {
		all, _, err := f.manage.NodePools().List(query(ctx))
		for _, pool := range all {
			have[pool.Name] = pool
		}
		return err
	})
	if err != nil {
		return err
	}
	delete(have, nomad.DefaultPool)
	delete(have, api.NodePoolAll)
	for _, w := range f.pools() {
		h := have[w.Name]
		delete(have, w.Name)
		c := Change{Kind: KindPool, Name: w.Name, Action: ActionChange, pool: w}
		if h == nil {
			c.Action, h = ActionCreate, &api.NodePool{}
		} else {
			// The rest of a pool is not declared, and stays.
			kept := *h
			kept.Description = w.Description
			c.pool = &kept
		}
		c.Fields = differ(Field{"description", h.Description, w.Description})
		if c.Action == ActionCreate || len(c.Fields) > 0 {
			p.Changes = append(p.Changes, c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		f.surplus(p, KindPool, name)
	}
	return nil
}

// surplus takes away what was made here and is declared no more.
func (f *Founder) surplus(p *Plan, kind, name string) {
	if slices.Contains(f.known().Made, kind+"/"+name) {
		p.Changes = append(p.Changes, Change{Kind: kind, Name: name, Action: ActionRemove})
	} else {
		p.Foreign = append(p.Foreign, kind+"/"+name)
	}
}

func (f *Founder) planJob(ctx context.Context, p *Plan) error {
	if f.site.Job == "" {
		return nil
	}
	job := new(api.Job)
	err := nomad.Call(ctx, "parse the parameterised job", func(ctx context.Context) error {
		_, err := f.manage.Raw().Write("/v1/jobs/parse", &api.JobsParseRequest{JobHCL: f.site.Job, Canonicalize: true}, job, write(ctx))
		return err
	})
	if err != nil {
		return err
	}
	if job.ID == nil {
		return errors.New("parse the parameterised job: it has no ID")
	}
	var diff *api.JobDiff
	err = nomad.Call(ctx, "compare job "+*job.ID, func(ctx context.Context) error {
		answer, _, err := f.manage.Jobs().Plan(job, true, write(ctx))
		if err == nil {
			diff = answer.Diff
		}
		return err
	})
	if err != nil || diff == nil || diff.Type == "None" {
		return err
	}
	c := Change{Kind: KindJob, Name: *job.ID, Action: ActionChange, Fields: flatten(diff), job: job}
	if diff.Type == "Added" {
		c.Action = ActionCreate
	}
	p.Changes = append(p.Changes, c)
	return nil
}

// carryOut makes the changes in their order and remembers what was made.
func (f *Founder) carryOut(ctx context.Context, changes []Change) error {
	for _, c := range changes {
		// Remembered first: what is made and then forgotten would stay for ever.
		if mark := c.Kind + "/" + c.Name; c.Action == ActionCreate && c.job == nil && !slices.Contains(f.known().Made, mark) {
			if err := f.remember(func(r *record) { r.Made = append(r.Made, mark) }); err != nil {
				return err
			}
		}
		err := nomad.Call(ctx, c.Action+" "+c.Kind+" "+c.Name, func(ctx context.Context) error { return f.carry(ctx, c) })
		if err != nil {
			return err
		}
		f.site.Log.InfoContext(ctx, "the cluster was changed", "action", c.Action, "kind", c.Kind, "name", c.Name)
		if c.Action == ActionRemove {
			mark := c.Kind + "/" + c.Name
			if err := f.remember(func(r *record) {
				r.Made = slices.DeleteFunc(r.Made, func(m string) bool { return m == mark })
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Founder) carry(ctx context.Context, c Change) (err error) {
	switch {
	case c.Action == ActionRemove && c.Kind == KindPolicy:
		_, err = f.manage.ACLPolicies().Delete(c.Name, write(ctx))
	case c.Action == ActionRemove:
		_, err = f.manage.NodePools().Delete(c.Name, write(ctx))
	case c.policy != nil:
		_, err = f.manage.ACLPolicies().Upsert(c.policy, write(ctx))
	case c.pool != nil:
		_, err = f.manage.NodePools().Register(c.pool, write(ctx))
	default:
		_, _, err = f.manage.Jobs().Register(c.job, write(ctx))
	}
	if code, _ := nomad.Answer(err); c.Action == ActionRemove && code == 404 {
		return nil // by an earlier try
	}
	return err
}
