package httpboot

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

// pair is a gathered connection and its other side.
func pair(t *testing.T) (*gathered, *net.TCPConn) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Gather(inner)
	defer l.Close()
	other, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*gathered), other.(*net.TCPConn)
}

func TestGatheredSendsAllInOrder(t *testing.T) {
	const header = "HTTP/1.1 200 OK\r\n\r\n"
	fault := errors.New("the disk is on fire")
	content := func(n int) string { return strings.Repeat("0123456789", n)[:n] }
	whole := func(n int) io.Reader { return io.LimitReader(strings.NewReader(content(n)), int64(n)) }
	for name, c := range map[string]struct {
		header string
		source io.Reader // nil: no content comes
		sent   int       // of the content
		err    error
	}{
		"no content":                 {header, nil, 0, nil},
		"empty content":              {header, whole(0), 0, nil},
		"a small file":               {header, whole(5000), 5000, nil},
		"the largest that is copied": {header, whole(maxGathered), maxGathered, nil},
		"a large file":               {header, whole(maxGathered + 1), maxGathered + 1, nil},
		"a larger one":               {header, whole(3 * maxGathered), 3 * maxGathered, nil},
		"no limit":                   {header, strings.NewReader(content(5000)), 5000, nil},
		"in pieces":                  {header, io.LimitReader(iotest.OneByteReader(strings.NewReader(content(500))), 500), 500, nil},
		"shorter than announced":     {header, io.LimitReader(strings.NewReader(content(100)), 5000), 100, nil},
		"a source that fails":        {header, io.LimitReader(io.MultiReader(strings.NewReader(content(100)), iotest.ErrReader(fault)), 5000), 100, fault},
		"a large one that fails":     {header, io.LimitReader(io.MultiReader(strings.NewReader(content(70_000)), iotest.ErrReader(fault)), 100_000), 70_000, fault},
		"a large header":             {strings.Repeat("x", maxHeader), whole(5000), 5000, nil},
		"a header that is too large": {strings.Repeat("x", maxHeader+1), whole(5000), 5000, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c1, c2 := pair(t)
			got := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(c2)
				got <- b
			}()
			c1.hold()
			if n, err := io.WriteString(c1, c.header); n != len(c.header) || err != nil {
				t.Errorf("header: %d bytes, %v", n, err)
			}
			if c.source != nil {
				if n, err := c1.ReadFrom(c.source); n != int64(c.sent) || !errors.Is(err, c.err) {
					t.Errorf("content: %d bytes, %v; want %d, %v", n, err, c.sent, c.err)
				}
			}
			if err := c1.release(); err != nil {
				t.Error(err)
			}
			// Nothing is held once the answer is over.
			if _, err := io.WriteString(c1, "next"); err != nil {
				t.Error(err)
			}
			c1.Close()
			if b, want := string(<-got), c.header+content(c.sent)+"next"; b != want {
				t.Errorf("%d bytes came, want %d", len(b), len(want))
			}
		})
	}
}

// A package that is still being fetched comes in pieces, and each is sent when it is there.
func TestGatheredWaitsForNoMore(t *testing.T) {
	for _, size := range []int64{maxGathered, maxGathered + 1} {
		c1, c2 := pair(t)
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() {
			c1.hold()
			fmt.Fprint(c1, "header ")
			_, err := c1.ReadFrom(io.LimitReader(r, size))
			done <- err
		}()
		fmt.Fprint(w, "first")
		got := make([]byte, len("header first"))
		if _, err := io.ReadFull(c2, got); err != nil || string(got) != "header first" {
			t.Errorf("before the rest is there: %q, %v", got, err)
		}
		w.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestGatheredTellsOfAHangup(t *testing.T) {
	for _, size := range []int64{10, maxGathered + 1} {
		c1, c2 := pair(t)
		if err := errors.Join(c2.SetLinger(0), c2.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := c1.Read(make([]byte, 1)); err == nil { // until the reset has come
			t.Fatal("the other side has sent something")
		}
		c1.hold()
		fmt.Fprint(c1, "header")
		if n, err := c1.ReadFrom(io.LimitReader(bytes.NewReader(make([]byte, size)), size)); n != 0 || err == nil {
			t.Errorf("%d bytes of %d were sent, %v", n, size, err)
		}
	}
}

// What a machine gets of a small file is one packet, not one for its header as well.
func TestSmallFileIsOnePacket(t *testing.T) {
	r := newRig(t)
	image := bytes.Repeat([]byte("0123456789"), 1000)
	sha := r.Images.(folder).put(t, image)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.plain.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for i := range 3 {
		ask(t, conn, in, "a test", "/image/"+sha+"/x", image)
		if n := packets(t, conn); n != uint32(i+1) {
			t.Errorf("%d answers came in %d packets", i+1, n)
		}
	}
}

// packets is how many packets with data have come.
func packets(t *testing.T, conn net.Conn) uint32 {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	fault := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err := errors.Join(fault, err); err != nil {
		t.Fatal(err)
	}
	return info.Data_segs_in
}

// Requests of every kind after one another on one connection, sent before the first is answered.
func TestAnswersFollowEachOther(t *testing.T) {
	r := newRig(t)
	small, large := bytes.Repeat([]byte("s"), 5000), bytes.Repeat([]byte("l"), 200_000)
	smallPath, largePath := "/image/"+r.Images.(folder).put(t, small)+"/x", "/image/"+r.Images.(folder).put(t, large)+"/x"
	asked := []struct {
		method, path, header string
		status               int
		body                 []byte
	}{
		{"GET", smallPath, "", 200, small},
		{"HEAD", smallPath, "", 200, nil},
		{"GET", largePath, "", 200, large},
		{"GET", smallPath, "Range: bytes=4990-\r\n", 206, small[:10]},
		{"GET", "/image/none/x", "", 404, []byte("not found\n")},
		{"HEAD", largePath, "", 200, nil},
		{"GET", largePath, "Range: bytes=0-99999\r\n", 206, large[:100_000]},
		{"GET", largePath, "Range: bytes=200000-\r\n", 416, []byte("invalid range: failed to overlap\n")},
		{"GET", smallPath, "Connection: close\r\n", 200, small},
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.plain.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var requests strings.Builder
	for _, a := range asked {
		fmt.Fprintf(&requests, "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", a.method, a.path, a.header)
	}
	if _, err := io.WriteString(conn, requests.String()); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for _, a := range asked {
		resp, err := http.ReadResponse(in, &http.Request{Method: a.method})
		if err != nil {
			t.Fatalf("%s %s: %v", a.method, a.path, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != a.status || !bytes.Equal(body, a.body) {
			t.Errorf("%s %s %q = %s, %d bytes, %v; want %d, %d bytes", a.method, a.path, a.header, resp.Status, len(body), err, a.status, len(a.body))
		}
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v, want the end", err)
	}
}
