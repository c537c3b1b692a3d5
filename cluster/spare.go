package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// ErrNeeded: without this server the cluster could decide nothing any more.
var ErrNeeded = errors.New("the cluster needs this server")

// Spare returns nil when the disk of the server called name may be wiped: the
// living servers beside it are a majority of all, which Raft needs for every
// decision, so that its successor is let in. Before the founding, and for who is no
// server, it always is.
func (f *Founder) Spare(ctx context.Context, name string) error {
	if !f.Founded() || !f.Server(name) {
		return nil
	}
	all := len(f.site.Servers)
	if all == 1 {
		return fmt.Errorf("%w: %s is the only one, and jobs, policies and tokens are on its disk; if the cluster is to be given up, take it out of cluster.servers first", ErrNeeded, name)
	}
	st, err := f.Status(ctx)
	if err != nil {
		return err
	}
	others := 0
	for _, m := range st.Servers {
		if m.Name != name && m.Status == "alive" && f.Server(m.Name) {
			others++
		}
	}
	if most := all/2 + 1; others < most {
		return fmt.Errorf("%w: beside %s %d of %d servers are alive, and %d must agree (%s); bring the others back first",
			ErrNeeded, name, others, all, most, cmp.Or(st.Trouble, "provision cluster status has more"))
	}
	return nil
}
