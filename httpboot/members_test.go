package httpboot

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"provision.internal/host"
	"provision.internal/installer"
)

// members is a cluster of a few lines, which may be not founded, or broken.
type members struct {
	mu      sync.Mutex
	none    string // why it is not founded
	broken  error
	issuer  Issuer
	changed chan struct{}
	joins   []string // stage of each Join, with whether it was the first
	heard   []string // names of who told of themselves
}

func (m *members) Stage(h host.Host) (installer.Stage, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.none != "":
		return installer.StageNone, m.none
	case h.State == host.Configured, h.State == host.Ready:
		return installer.StageMember, ""
	}
	return installer.StageQuarantine, "not configured yet"
}

func (m *members) Join(_ context.Context, h host.Host, stage installer.Stage, first bool) (Membership, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return Membership{}, m.broken
	}
	m.joins = append(m.joins, fmt.Sprint(stage, " ", first))
	return Membership{
		Files:     []installer.File{{Path: "/etc/nomad.d/client.hcl", Content: "# introduction-secret for " + string(stage) + "\n"}},
		Names:     []string{"client.global.nomad"},
		Addresses: []netip.Addr{h.Address}, Issuer: m.issuer,
	}, nil
}

func (m *members) Heard(h host.Host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, h.Name)
}

func (m *members) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return m.changed
}

// found founds the cluster.
func (m *members) found() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.none = ""
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}
