package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// upsert changes the cluster by somebody else's hand.
func upsert(t *testing.T, f *Founder, p *api.ACLPolicy) {
	t.Helper()
	if _, err := f.manage.ACLPolicies().Upsert(p, write(within(t))); err != nil {
		t.Fatal(err)
	}
}

func TestPlanHoldsWhatWasDeclared(t *testing.T) {
	t.Parallel()
	r := newRig(t, declared())
	r.site.Job = paramJob
	f := r.open(t)
	if err := errors.Join(f.Ask(within(t), "operator"), f.found(within(t))); err != nil {
		t.Fatal(err)
	}
	upsert(t, f, &api.ACLPolicy{Name: "proxy-read", Rules: `namespace "default" { policy = "write" }`})
	upsert(t, f, &api.ACLPolicy{Name: "theirs", Rules: proxyRules})
	if _, err := f.manage.NodePools().Delete("gpu", write(within(t))); err != nil {
		t.Fatal(err)
	}
	p, err := f.Plan(within(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range p.Changes {
		got = append(got, c.Action+" "+c.Kind+" "+c.Name)
	}
	if want := []string{"change policy proxy-read", "create pool gpu"}; !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
	if !slices.Equal(p.Foreign, []string{"policy/theirs"}) {
		t.Errorf("foreign %q, want policy/theirs", p.Foreign)
	}
	text := p.Text(false)
	for _, want := range []string{"~ policy proxy-read", "- namespace \"default\" { policy = \"write\" }", "+ default/proxy", "+ pool gpu", "policy/theirs is not ours"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan does not say %q:\n%s", want, text)
		}
	}
	upsert(t, f, &api.ACLPolicy{Name: "proxy-read", Rules: `namespace "default" { policy = "deny" }`})
	if err := f.Apply(within(t), p); !errors.Is(err, ErrStale) {
		t.Errorf("a plan that is old: %v, want ErrStale", err)
	}
	if p, err = f.Plan(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := f.Apply(within(t), p); err != nil {
		t.Fatal(err)
	}
	if p, err = f.Plan(within(t)); err != nil || !p.Empty() {
		t.Errorf("after it was applied: %s %v", p.Text(false), err)
	}

	// What was made here and is declared no more goes; theirs stays.
	r.site.Config.Policies, r.site.Config.Pools = nil, nil
	r.site.Config.Anonymous = AnonymousNone
	f = r.open(t)
	if p, err = f.Plan(within(t)); err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, c := range p.Changes {
		got = append(got, c.Action+" "+c.Kind+" "+c.Name)
	}
	if want := []string{"remove policy anonymous", "remove policy proxy-read", "remove pool gpu"}; !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
	if err := f.Apply(within(t), p); err != nil {
		t.Fatal(err)
	}
	if p, err = f.Plan(within(t)); err != nil || !p.Empty() || !slices.Equal(p.Foreign, []string{"policy/theirs"}) {
		t.Errorf("after it was applied: %s %v", p.Text(false), err)
	}
}
