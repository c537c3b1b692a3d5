package cluster

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"provision.internal/nomad/nomadtest"
)

// A server's disk may be wiped while the others are a majority, and never that of
// the only one.
func TestSpare(t *testing.T) {
	t.Parallel()
	one := newRig(t, Config{})
	f := one.open(t)
	if err := f.Spare(within(t), "node1"); err != nil {
		t.Errorf("before the founding: %v", err)
	}
	if err := f.Ask(within(t), "operator"); err != nil {
		t.Fatal(err)
	}
	if err := f.Run(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := f.Spare(within(t), "node1"); !errors.Is(err, ErrNeeded) || !strings.Contains(err.Error(), "the only one") {
		t.Errorf("the only server: %v, want ErrNeeded", err)
	}
	if err := f.Spare(within(t), "worker1"); err != nil {
		t.Errorf("a client: %v", err)
	}

	three := newRig(t, Config{}, member("node1"), member("node2"), member("node3"))
	for _, name := range []string{"node2", "node3"} {
		three.site.Config.Servers = append(three.site.Config.Servers, name)
		three.site.Servers = append(three.site.Servers, Server{Name: name, Address: netip.MustParseAddr("127.0.0.1")})
	}
	f = three.open(t)
	if err := f.Ask(within(t), "operator"); err != nil {
		t.Fatal(err)
	}
	if err := f.Run(within(t)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		failed []string
		needed bool
	}{
		{"all are there", nil, false},
		{"itself is away", []string{"node1"}, false},
		{"another one is away", []string{"node2"}, true},
		{"both others are away", []string{"node2", "node3"}, true},
	} {
		for _, name := range []string{"node1", "node2", "node3"} {
			three.sim.Fail(name+".global", slices.Contains(tt.failed, name))
		}
		if err := f.Spare(within(t), "node1"); errors.Is(err, ErrNeeded) != tt.needed || !tt.needed && err != nil {
			t.Errorf("%s: %v, want ErrNeeded: %v", tt.name, err, tt.needed)
		}
	}
}

func member(name string) nomadtest.Member {
	return nomadtest.Member{Name: name + ".global", Address: "127.0.0.1:4647"}
}
