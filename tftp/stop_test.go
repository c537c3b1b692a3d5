package tftp_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"provision.internal/tftp"
)

// Running transfers get time to finish when the server stops, and no more than
// that.
func TestStop(t *testing.T) {
	data := noise(20_000)
	v := serve(t, &tftp.Server{Files: loader(data), Grace: 500 * time.Millisecond})
	quick, slow := newPeer(t, v.addr), newPeer(t, v.addr)
	quick.ask("snponly.efi")
	slow.ask("snponly.efi")
	b, from := quick.want(3)
	_, slowFrom := slow.want(3)
	ended := make(chan error, 1)
	go func() { ended <- v.stop() }()

	got := append([]byte(nil), b[4:]...)
	for n := uint16(1); len(b) == 516; n++ {
		quick.ack(n, from)
		b, from = quick.want(3)
		got = append(got, b[4:]...)
	}
	quick.ack(uint16(len(data)/512+1), from)
	if !bytes.Equal(got, data) {
		t.Errorf("the transfer that was running got %d of %d bytes", len(got), len(data))
	}
	time.Sleep(600 * time.Millisecond)
	slow.ack(1, slowFrom)
	for {
		b, _, ok := slow.receive(patience)
		if !ok {
			t.Fatal("the slow client is not told that the server stops")
		}
		if bytes.Contains(b, []byte("stopping")) {
			break
		}
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	case <-time.After(patience):
		t.Fatal("Run has not ended")
	}
	if s := v.Stats(); s.Finished != 1 || s.Failed != 1 {
		t.Errorf("stats %+v, want one finished and one failed", s)
	}
}

func TestPortInUse(t *testing.T) {
	first, err := tftp.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for _, c := range []struct{ addr, want string }{
		{first.LocalAddr().String(), "ss -ulpn"},
		{"192.0.2.1:69", "no interface has this address"},
		{"nonsense", "want HOST:PORT"},
	} {
		conn, err := tftp.Listen(c.addr)
		if err == nil {
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Listen(%s) = %v, want advice with %q", c.addr, err, c.want)
		}
	}
}

// Run ends with an error, not in silence, when its port is taken away.
func TestPortLost(t *testing.T) {
	conn, err := tftp.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &tftp.Server{Conn: conn, Files: loader(nil), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	conn.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Run = nil, want an error")
		}
	case <-time.After(patience):
		t.Fatal("Run has not ended")
	}
}
