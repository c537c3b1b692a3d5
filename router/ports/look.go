package ports

import (
	"context"
	"fmt"
	"sync"
	"time"

	"provision.internal/host"
)

// lookWithin bounds one look.
const lookWithin = 30 * time.Second

// looks lets callers share sessions: a router has few, and a rack that is
// switched on at once asks for the places of all its machines.
type looks struct {
	turn sync.Mutex // held while one is under way

	mu   sync.Mutex
	next *look // that has not begun; nil when nobody waits
}

// look is one look at the router. sight and err are final when done is closed.
type look struct {
	done  chan struct{}
	sight host.Sight
	err   error
}

// Look returns where every machine is that the bridge has heard of lately (five
// minutes, unless the router is set otherwise), and what every port for hosts
// serves. It makes three calls, however many machines there are, and however many
// ask at the same time: what is returned was read after Look was called. It must
// not be changed.
func (p *Ports) Look(ctx context.Context) (host.Sight, error) {
	l := p.join(ctx)
	select {
	case <-l.done:
		return l.sight, l.err
	case <-ctx.Done():
		return host.Sight{}, fmt.Errorf("look for machines: %w", context.Cause(ctx))
	}
}

// join returns the next look, which it starts when nobody waits for it yet.
func (p *Ports) join(ctx context.Context) *look {
	p.looks.mu.Lock()
	defer p.looks.mu.Unlock()
	if p.looks.next == nil {
		p.looks.next = &look{done: make(chan struct{})}
		go p.lead(context.WithoutCancel(ctx), p.looks.next)
	}
	return p.looks.next
}

// lead carries l out, for all who wait for it. It ends by itself: every call to
// the router has its time.
func (p *Ports) lead(ctx context.Context, l *look) {
	p.looks.turn.Lock()
	defer p.looks.turn.Unlock()
	p.looks.mu.Lock()
	p.looks.next = nil
	p.looks.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	l.sight, l.err = p.look(ctx)
	close(l.done)
}

func (p *Ports) look(ctx context.Context) (host.Sight, error) {
	c, err := p.Device.Dial(ctx)
	if err != nil {
		return host.Sight{}, fmt.Errorf("look for machines: %w", err)
	}
	defer c.Close()
	t, err := p.read(ctx, c)
	if err != nil {
		return host.Sight{}, fmt.Errorf("look for machines: %w", err)
	}
	rows, err := c.Print(ctx, portMenu, portProperties)
	if err != nil {
		return host.Sight{}, fmt.Errorf("look at the ports: %w", err)
	}
	s := host.Sight{Places: make(map[host.MAC]host.Place, len(t.ports)), Ports: map[string]host.PortServes{}}
	for mac := range t.ports {
		s.Places[mac] = p.place(t, mac)
	}
	for _, row := range rows {
		if port := row["interface"]; row["bridge"] == p.Config.Bridge && p.ForHosts(port) == nil {
			s.Ports[port] = p.serves(row["pvid"])
		}
	}
	return s, nil
}
