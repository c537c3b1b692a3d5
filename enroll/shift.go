package enroll

import (
	"context"
	"fmt"
	"slices"

	"provision.internal/host"
)

// shift is a port that is not where its host's placement says, though it was read
// back there: somebody has moved it by hand.
type shift struct {
	host.Placement      // that the router contradicts
	tried          bool // to put it back, since the look
}

// shifts compares what the ports serve with the placements of hosts as they were
// before the look. A port that is being moved, or is to be, is none of them.
func shifts(hosts []host.Host, sight host.Sight) map[host.MAC]shift {
	found := map[host.MAC]shift{}
	for _, h := range hosts {
		if !settled(h) {
			continue
		}
		if now, ok := sight.Ports[h.Placed.Port]; ok && !slices.Contains(now.Stages, h.Placed.Stage) {
			found[h.MAC] = shift{Placement: *h.Placed}
		}
	}
	return found
}

// settled reports whether nothing but a person has reason to move the port of h.
func settled(h host.Host) bool {
	_, _, moves := due(h)
	return !moves && h.State != host.Configured && h.Placed != nil && h.Placed.Stage != ""
}

// still reports whether the shift of h is to be put right, as h is now.
func (s shift) still(h host.Host) bool {
	return s.Port != "" && !s.tried && settled(h) &&
		h.Placed.Port == s.Port && h.Placed.Stage == s.Stage && h.Placed.Since.Equal(s.Since)
}

// putBack moves the port of h to where its placement says. What is told of it is
// what was found right before; a port that is back by itself is no news.
func (m *mover) putBack(ctx context.Context, h host.Host) error {
	who, err := m.Ports.Suspect(ctx, h.Placed.Port)
	if err != nil {
		return err
	}
	if who == "" {
		who = "the router's log does not tell who did that"
	} else {
		who = "it may have been " + who
	}
	moved, err := m.Ports.Move(ctx, h.MAC, h.Placed.Port, h.Placed.Stage)
	if err != nil || !moved.Changed {
		return err
	}
	m.Log.WarnContext(ctx, "port was moved by somebody else and is put back", "host", h.Label(), "mac", h.MAC, "port", moved.Port, "found", moved.Was, "vlan", moved.VLAN, "who", who)
	return m.Store.Record(host.Event{
		MAC: h.MAC, Kind: host.KindPort, Actor: actor,
		Cause: fmt.Sprintf("port %s was found in %s and is back in %s (%s): the host is %s; %s", moved.Port, moved.Was, moved.VLAN, h.Placed.Stage, h.State, who),
	})
}
