package httpboot

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"provision.internal/boot"
)

// discard is a ResponseWriter for handlers that are called directly.
type discard struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(s int)   { d.status = s }
func (d *discard) Write(b []byte) (int, error) {
	return d.body.Write(b)
}

func TestFiles(t *testing.T) {
	r := newRig(t)
	ungathered := httptest.NewServer(NewHTTPServer(r.Plain(), r.Log).Handler)
	defer ungathered.Close()
	t.Run("header and content together", func(t *testing.T) { testFiles(t, r, r.plain.URL) })
	t.Run("header and content as net/http does", func(t *testing.T) { testFiles(t, r, ungathered.URL) })
}

func testFiles(t *testing.T, r *rig, url string) {
	image := bytes.Repeat([]byte("0123456789"), 1000)
	sha := r.Images.(folder).put(t, image)
	large := strings.Repeat("0123456789", 20_000)
	largeSHA := r.Images.(folder).put(t, []byte(large))
	if err := os.WriteFile(filepath.Join(r.Repository, "x86_64-repodata"), []byte("repodata"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.Repository, "empty"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, method, path, span string
		status                   int
		length                   int64  // -1: any
		body                     string // "*": any
		header                   map[string]string
	}{
		{"EDK2 asks for the size", "HEAD", "/nbp/snponly.efi", "", 200, 8192, "", map[string]string{"Content-Type": "application/efi"}},
		{"then for the loader", "GET", "/nbp/snponly.efi", "", 200, 8192, strings.Repeat("MZ", 4096), nil},
		{"an image", "GET", "/image/" + sha + "/vmlinuz", "", 200, 10000, string(image), map[string]string{"ETag": `"` + sha + `"`, "Accept-Ranges": "bytes"}},
		{"its size", "HEAD", "/image/" + sha + "/vmlinuz", "", 200, 10000, "", nil},
		{"a part of it", "GET", "/image/" + sha + "/x", "bytes=5-14", 206, 10, "5678901234", map[string]string{"Content-Range": "bytes 5-14/10000"}},
		{"its end", "GET", "/image/" + sha + "/x", "bytes=-2", 206, 2, "89", nil},
		{"behind its end", "GET", "/image/" + sha + "/x", "bytes=20000-", 416, -1, "", nil},
		{"several parts", "GET", "/image/" + sha + "/x", "bytes=0-1,5-6", 206, -1, "*", nil},
		{"a large image", "GET", "/image/" + largeSHA + "/x", "", 200, 200_000, large, nil},
		{"its size", "HEAD", "/image/" + largeSHA + "/x", "", 200, 200_000, "", nil},
		{"a large part of it", "GET", "/image/" + largeSHA + "/x", "bytes=5-100004", 206, 100_000, large[5:100_005], nil},
		{"nothing of an empty file", "GET", "/void/empty", "", 200, 0, "", nil},
		{"a package file", "GET", "/void/x86_64-repodata", "", 200, 8, "repodata", nil},
		{"the rest of a package file", "GET", "/void/x86_64-repodata", "bytes=4-", 206, 4, "data", nil},
		{"no loader", "GET", "/nbp/none.efi", "", 404, -1, "", nil},
		{"a folder of loaders", "GET", "/nbp/sub", "", 404, -1, "", nil},
		{"a loader below a folder", "GET", "/nbp/sub%2fx", "", 404, -1, "", nil},
		{"no image", "GET", "/image/" + strings.Repeat("0", 64) + "/x", "", 404, -1, "", nil},
		{"no hash", "GET", "/image/..%2f..%2fetc/passwd", "", 404, -1, "", nil},
		{"nothing", "GET", "/", "", 404, -1, "", nil},
		{"writing", "PUT", "/void/x", "", 405, -1, "", nil},
		{"posting", "POST", "/ipxe/52-54-00-00-00-01", "", 405, -1, "", nil},
	} {
		q, err := http.NewRequest(tt.method, url+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.span != "" {
			q.Header.Set("Range", tt.span)
		}
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != tt.status || tt.length >= 0 && resp.ContentLength != tt.length || tt.status < 300 && tt.body != "*" && string(body) != tt.body {
			t.Errorf("%s: %s %s = %d, %d bytes announced, %d sent; want %d, %d", tt.name, tt.method, tt.path, resp.StatusCode, resp.ContentLength, len(body), tt.status, tt.length)
		}
		for key, want := range tt.header {
			if got := resp.Header.Get(key); got != want {
				t.Errorf("%s: %s = %q, want %q", tt.name, key, got, want)
			}
		}
	}
}

func TestRepositoryStaysInItsFolder(t *testing.T) {
	r := newRig(t)
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Mkdir(filepath.Join(r.Repository, "current"), 0o755),
		os.WriteFile(filepath.Join(r.Repository, "current", "a.xbps"), []byte("package"), 0o644),
		os.Symlink("a.xbps", filepath.Join(r.Repository, "current", "inside")),
		os.Symlink(secret, filepath.Join(r.Repository, "out")),
		os.Symlink(outside, filepath.Join(r.Repository, "outdir")),
		os.Symlink("../../..", filepath.Join(r.Repository, "current", "up")),
		exec.Command("mkfifo", filepath.Join(r.Repository, "pipe")).Run(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]int{
		"/void/current/a.xbps":                   200,
		"/void/current/inside":                   200,
		"/void/out":                              404,
		"/void/outdir/secret":                    404,
		"/void/current/up" + secret:              404,
		"/void/current":                          404,
		"/void/current/":                         404,
		"/void/":                                 404,
		"/void/pipe":                             404,
		"/void/none":                             404,
		"/void/..%2f..%2f..%2fetc/passwd":        404,
		"/void/current/..%2f..%2f..%2f" + secret: 404,
		"/void/current%00":                       404,
		"/void//etc/passwd":                      404,
	} {
		status, body := r.fetch(t, path)
		if status != want || strings.Contains(body, "outside") || strings.Contains(body, "a.xbps") {
			t.Errorf("GET %s = %d %q, want %d", path, status, body, want)
		}
	}
	r.Repository = ""
	if status, _ := r.fetch(t, "/void/current/a.xbps"); status != 404 {
		t.Errorf("without a repository: status %d, want 404", status)
	}
}

// countingListener hands out connections that know how they were written to.
type countingListener struct {
	net.Listener
	files atomic.Int64 // bytes that came by ReadFrom of an *os.File
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{c.(*net.TCPConn), l}, nil
}

type countingConn struct {
	*net.TCPConn
	l *countingListener
}

// ReadFrom is what net/http calls on a connection that can send files; the
// kernel does it when the source is a file with or without a limit.
func (c *countingConn) ReadFrom(r io.Reader) (int64, error) {
	src := r
	if limited, ok := src.(*io.LimitedReader); ok {
		src = limited.R
	}
	n, err := c.TCPConn.ReadFrom(r)
	if _, ok := src.(*os.File); ok {
		c.l.files.Add(n)
	}
	return n, err
}

// Without ReadFrom anywhere between the file and the socket, sendfile is lost.
func TestImagesAreSentByTheKernel(t *testing.T) {
	r := newRig(t)
	image := bytes.Repeat([]byte("x"), 1<<20)
	sha := r.Images.(folder).put(t, image)
	if err := os.WriteFile(filepath.Join(r.Repository, "a.xbps"), image, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, wrap := range map[string]func(net.Listener) net.Listener{
		"header and content together":         Gather,
		"header and content as net/http does": func(l net.Listener) net.Listener { return l },
	} {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l := &countingListener{Listener: inner}
		server := NewHTTPServer(r.Plain(), r.Log)
		go server.Serve(wrap(l))
		defer server.Close()
		paths := []string{"/image/" + sha + "/x", "/void/a.xbps"}
		for _, path := range paths {
			resp, err := http.Get("http://" + inner.Addr().String() + path)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || n != int64(len(image)) {
				t.Fatalf("%s: GET %s: %d bytes, %v", name, path, n, err)
			}
		}
		http.DefaultClient.CloseIdleConnections()
		if err := server.Shutdown(t.Context()); err != nil { // waits for the handlers to return
			t.Fatal(err)
		}
		// The first bytes of an answer may go with its header.
		if got, want := l.files.Load(), int64(len(paths)*(len(image)-1024)); got < want {
			t.Errorf("%s: the kernel has sent %d bytes from files, want %d or more", name, got, want)
		}
	}
}

func TestRecorderCounts(t *testing.T) {
	w := &discard{header: http.Header{}}
	rec := &recorder{ResponseWriter: w}
	if _, err := rec.ReadFrom(strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(rec, "de")
	rec.WriteHeader(500)
	if rec.status != 200 || rec.bytes != 5 || w.body.String() != "abcde" || rec.Unwrap() != http.ResponseWriter(w) {
		t.Errorf("recorder = %+v with %q, want 200, 5 bytes", rec, w.body.String())
	}
}

func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("needs curl")
	}
	r := newRig(t)
	sha := r.Images.(folder).put(t, bytes.Repeat([]byte("0123456789"), 1000))
	url := r.plain.URL + boot.ImagePath + sha + "/vmlinuz"
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(curl, append([]string{"--silent", "--show-error", "--fail", "--noproxy", "*"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %s: %v: %s", args, err, out)
		}
		return string(out)
	}
	if out := run("--head", url); !strings.Contains(out, "Content-Length: 10000") || !strings.Contains(out, "Accept-Ranges: bytes") {
		t.Errorf("curl --head = %s, want the length and ranges", out)
	}
	if out := run("--range", "9995-", url); out != "56789" {
		t.Errorf("curl --range 9995- = %q, want 56789", out)
	}
	// EDK2 needs keep-alive: two requests, one connection.
	if out := run("--write-out", "%{num_connects} ", "--output", "/dev/null", "--output", "/dev/null", url, url); out != "1 0 " {
		t.Errorf("connections of two requests = %q, want 1 0", out)
	}
	// A download that was cut off goes on where it stopped.
	part := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(part, bytes.Repeat([]byte("0123456789"), 400), 0o644); err != nil {
		t.Fatal(err)
	}
	run("--continue-at", "-", "--output", part, url)
	if got, err := os.ReadFile(part); err != nil || len(got) != 10000 || !bytes.HasSuffix(got, []byte("0123456789")) {
		t.Errorf("continued download has %d bytes, %v, want 10000", len(got), err)
	}
}
