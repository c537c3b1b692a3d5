package nomadtest

import (
	"fmt"
	"net/http"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/nomad/api"
)

// parseJob is the jobs/parse endpoint for the subset of the language that
// configuration jobs use. What is outside of it is refused by name.
func (s *Server) parseJob(r request) (reply, error) {
	var in api.JobsParseRequest
	if err := s.writes(r, &in, may("parse-job", "submit-job")); err != nil {
		return reply{}, err
	}
	if in.JobHCL == "" {
		return reply{}, refuse(http.StatusBadRequest, "Job spec is empty")
	}
	job, err := Parse(in.JobHCL)
	if err != nil {
		return reply{}, refuse(http.StatusBadRequest, "Failed to parse job: %v", err)
	}
	if in.Canonicalize {
		job.Canonicalize()
	}
	return reply{body: job}, nil
}

// Parse reads a jobspec.
func Parse(text string) (*api.Job, error) {
	file, diags := hclsyntax.ParseConfig([]byte(text), "input.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	p := &parser{src: file.Bytes}
	root := p.body(file.Body.(*hclsyntax.Body))
	var job *api.Job
	for _, b := range root.blocks("job", 1) {
		job = p.job(b)
	}
	root.end()
	if p.diags.HasErrors() {
		return nil, p.diags
	}
	if job == nil {
		return nil, fmt.Errorf("input.hcl:1,1-1: Missing job block; A job block is required")
	}
	return job, nil
}

func (p *parser) job(b *body) *api.Job {
	defer b.end()
	id := b.labels[0]
	j := &api.Job{
		ID: &id, Name: b.str("name"), Region: b.str("region"), Namespace: b.str("namespace"), Type: b.str("type"),
		Priority: b.num("priority"), Datacenters: b.strs("datacenters"), NodePool: b.str("node_pool"),
		Constraints: p.constraints(b), Meta: b.texts("meta"),
	}
	if own := b.str("id"); own != nil {
		j.ID = own
	}
	if j.Name == nil {
		j.Name = &id
	}
	for _, c := range b.blocks("parameterized", 0) {
		j.ParameterizedJob = &api.ParameterizedJobConfig{MetaRequired: c.strs("meta_required"), MetaOptional: c.strs("meta_optional")}
		if payload := c.str("payload"); payload != nil {
			j.ParameterizedJob.Payload = *payload
		}
		c.end()
	}
	for _, c := range b.blocks("periodic", 0) {
		j.Periodic = &api.PeriodicConfig{Spec: c.str("cron")}
		c.end()
	}
	for _, c := range b.blocks("reschedule", 0) {
		j.Reschedule = p.reschedule(c)
	}
	for _, c := range b.blocks("group", 1) {
		j.TaskGroups = append(j.TaskGroups, p.group(c))
	}
	for _, c := range b.blocks("task", 1) { // a task outside of a group is a group of its own
		t := p.task(c)
		g := api.NewTaskGroup(t.Name, 1)
		g.Tasks = []*api.Task{t}
		j.TaskGroups = append(j.TaskGroups, g)
	}
	return j
}

func (p *parser) group(b *body) *api.TaskGroup {
	defer b.end()
	g := &api.TaskGroup{
		Name: &b.labels[0], Count: b.num("count"), Constraints: p.constraints(b), Meta: b.texts("meta"),
		MaxRunDuration: b.duration("max_run_duration"), RestartPolicy: p.restart(b),
	}
	for _, c := range b.blocks("reschedule", 0) {
		g.ReschedulePolicy = p.reschedule(c)
	}
	for _, c := range b.blocks("network", 0) {
		n := new(api.NetworkResource)
		if mode := c.str("mode"); mode != nil {
			n.Mode = *mode
		}
		g.Networks = append(g.Networks, n)
		c.end()
	}
	for _, c := range b.blocks("ephemeral_disk", 0) {
		g.EphemeralDisk = &api.EphemeralDisk{SizeMB: c.num("size")}
		c.end()
	}
	for _, c := range b.blocks("task", 1) {
		g.Tasks = append(g.Tasks, p.task(c))
	}
	return g
}

func (p *parser) task(b *body) *api.Task {
	defer b.end()
	t := &api.Task{
		Name: b.labels[0], Constraints: p.constraints(b), Env: b.texts("env"), Meta: b.texts("meta"),
		KillTimeout: b.duration("kill_timeout"), RestartPolicy: p.restart(b),
	}
	for key, to := range map[string]*string{"driver": &t.Driver, "user": &t.User, "kill_signal": &t.KillSignal} {
		if v := b.str(key); v != nil {
			*to = *v
		}
	}
	for _, c := range b.blocks("config", 0) {
		t.Config = c.free()
	}
	for _, c := range b.blocks("resources", 0) {
		t.Resources = &api.Resources{
			CPU: c.num("cpu"), Cores: c.num("cores"), MemoryMB: c.num("memory"), MemoryMaxMB: c.num("memory_max"),
		}
		c.end()
	}
	for _, c := range b.blocks("logs", 0) {
		t.LogConfig = &api.LogConfig{MaxFiles: c.num("max_files"), MaxFileSizeMB: c.num("max_file_size")}
		c.end()
	}
	return t
}

func (p *parser) restart(b *body) (policy *api.RestartPolicy) {
	for _, c := range b.blocks("restart", 0) {
		policy = &api.RestartPolicy{
			Attempts: c.num("attempts"), Mode: c.str("mode"), Interval: c.duration("interval"), Delay: c.duration("delay"),
		}
		c.end()
	}
	return policy
}

func (p *parser) reschedule(b *body) *api.ReschedulePolicy {
	defer b.end()
	return &api.ReschedulePolicy{
		Attempts: b.num("attempts"), Unlimited: b.flag("unlimited"), Interval: b.duration("interval"), Delay: b.duration("delay"),
	}
}

func (p *parser) constraints(b *body) (out []*api.Constraint) {
	for _, c := range b.blocks("constraint", 0) {
		n := api.NewConstraint("", "=", "")
		for key, to := range map[string]*string{"attribute": &n.LTarget, "operator": &n.Operand, "value": &n.RTarget} {
			if v := c.str(key); v != nil {
				*to = *v
			}
		}
		c.end()
		out = append(out, n)
	}
	return out
}
