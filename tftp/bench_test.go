package tftp_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"provision.internal/tftp"
)

// A boot loader as large as any, by 1 and 50 clients at a time, client included.
func BenchmarkTransfer(b *testing.B) {
	data := noise(1 << 20)
	for _, clients := range []int{1, 50} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			v := serve(b, &tftp.Server{Files: loader(data)})
			b.SetBytes(int64(clients * len(data)))
			for b.Loop() {
				var wg sync.WaitGroup
				for range clients {
					p := newPeer(b, v.addr)
					wg.Go(func() {
						if got, err := p.fetch("snponly.efi", 1468, time.Second); err != nil || len(got) != len(data) {
							b.Errorf("fetch: %d bytes, %v", len(got), err)
						}
						p.conn.Close()
					})
				}
				wg.Wait()
			}
		})
	}
}
