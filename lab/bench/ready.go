package bench

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"provision.internal/dhcp/dhcptest"
)

// probe asks a server once whether it is there; it waits no longer than ctx.
type probe func(ctx context.Context, namespace string, attempt int) error

const (
	probeWait  = 25 * time.Millisecond
	startLimit = 15 * time.Second
)

// await asks until the server answers, and says how long after its start that was.
func await(ctx context.Context, p *process, namespace string, ask probe) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for attempt := 0; ; attempt++ {
		once, stop := context.WithTimeout(ctx, probeWait)
		err := ask(once, namespace, attempt)
		if err == nil {
			stop()
			return time.Since(p.began), nil
		}
		<-once.Done() // a refusal comes at once
		stop()
		if dead := p.alive(); dead != nil {
			return 0, dead
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("no answer within %v: %w", startLimit, err)
		}
	}
}

// dhcpAnswers sends a DISCOVER. Each is from another machine: a server may be slow for one that
// repeats itself.
func dhcpAnswers(ctx context.Context, namespace string, attempt int) error {
	return dhcptest.Inside(namespace, func() error {
		s, err := dhcptest.Open(dhcptest.ClientDevice)
		if err != nil {
			return err
		}
		defer s.Close()
		p, err := dhcptest.UEFI(dhcptest.MAC(uint32(attempt))).Discover()
		if err != nil {
			return err
		}
		_, err = s.Exchange(ctx, p)
		return err
	})
}

// tftpAnswers asks for a file that is not there: an ERROR is an answer.
func tftpAnswers(ctx context.Context, namespace string, _ int) error {
	var conn *net.UDPConn
	err := dhcptest.Inside(namespace, func() (err error) {
		conn, err = net.ListenUDP("udp4", nil)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.WriteToUDPAddrPort([]byte("\x00\x01absent\x00octet\x00"), netip.MustParseAddrPort(serverAddress+":69")); err != nil {
		return err
	}
	_, _, err = conn.ReadFromUDPAddrPort(make([]byte, 1500))
	return err
}

// httpAnswers connects.
func httpAnswers(ctx context.Context, namespace string, _ int) error {
	return dhcptest.Inside(namespace, func() error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", serverAddress+":80")
		if err != nil {
			return err
		}
		return c.Close()
	})
}
