package httpboot

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
)

// GRUB numbers its ports from 21550 at every start and closes no connection, so
// the server must have none left when the machine is reset.
func TestGRUBIsHungUpOn(t *testing.T) {
	r := newRig(t)
	large := bytes.Repeat([]byte("kernel"), 1<<20)
	sha := r.Images.(folder).put(t, large)
	server := NewHTTPServer(r.Plain(), r.Log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(Gather(l))
	defer server.Close()

	get := func(agent string) (net.Conn, *bufio.Reader) {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		in := bufio.NewReader(conn)
		ask(t, conn, in, agent, "/image/"+sha+"/vmlinuz", large)
		return conn, in
	}
	_, in := get("GRUB 2.06-13+deb12u2")
	if _, err := in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after GRUB's file: %v, want the connection reset", err)
	}
	conn, in := get("iPXE/1.0.0")
	ask(t, conn, in, "iPXE/1.0.0", "/nbp/snponly.efi", bytes.Repeat([]byte("MZ"), 4096))
}

// ask sends one request over conn and checks the answer's content.
func ask(t *testing.T, conn net.Conn, in *bufio.Reader, agent, path string, want []byte) {
	t.Helper()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: %s\r\n\r\n", path, agent); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("%s asks for %s: %v", agent, path, err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s got %d bytes of %s, %v; want %d", agent, len(got), path, err, len(want))
	}
}
