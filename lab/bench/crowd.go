package bench

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// transferred is what a TFTP or HTTP load moved.
type transferred struct {
	Bytes int64
	Took  time.Duration
}

// MBps is the rate in 10^6 bytes per second.
func (t transferred) MBps() float64 {
	return float64(t.Bytes) / 1e6 / t.Took.Seconds()
}

// crowd lets clients work at the same time, each with as many of conns, which are open
// already, so that they start as one. work returns how many bytes it received. The end of ctx
// ends the connections.
func crowd[C net.Conn](ctx context.Context, clients int, conns []C, work func(conns []C) (int64, error)) (transferred, error) {
	defer context.AfterFunc(ctx, func() {
		for _, c := range conns {
			c.SetDeadline(time.Unix(1, 0))
		}
	})()
	var total transferred
	var errs []error
	var mu sync.Mutex
	var wg sync.WaitGroup
	each := len(conns) / clients
	start := time.Now()
	for i := range clients {
		wg.Go(func() {
			n, err := work(conns[i*each : (i+1)*each])
			mu.Lock()
			defer mu.Unlock()
			total.Bytes += n
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	total.Took = time.Since(start)
	if len(errs) > 0 {
		return total, fmt.Errorf("%d of %d clients: %w", len(errs), clients, errs[0])
	}
	return total, nil
}

// closeAll closes what a load has opened.
func closeAll[C net.Conn](conns []C) {
	for _, c := range conns {
		c.Close()
	}
}
