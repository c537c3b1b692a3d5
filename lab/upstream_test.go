package lab

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// testUpstream serves one package of 100,000 bytes and an index.
func testUpstream(t *testing.T) (*Upstream, string) {
	t.Helper()
	dir := t.TempDir()
	writeTest(t, filepath.Join(dir, "current/a-1_1.x86_64.xbps"), strings.Repeat("0123456789", 10_000))
	writeTest(t, filepath.Join(dir, "current/x86_64-repodata"), "index")
	u := &Upstream{Dir: dir}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	return u, server.URL
}

func get(t *testing.T, url, ranged string) (status int, body []byte, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if ranged != "" {
		req.Header.Set("Range", ranged)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func TestUpstreamServesAsVoidDoes(t *testing.T) {
	u, url := testUpstream(t)
	if status, body, err := get(t, url+"/current/a-1_1.x86_64.xbps", "bytes=99990-"); status != http.StatusPartialContent || string(body) != "0123456789" || err != nil {
		t.Errorf("a range: %d, %q, %v", status, body, err)
	}
	for range 2 {
		if status, body, err := get(t, url+"/current/x86_64-repodata", ""); status != http.StatusOK || string(body) != "index" || err != nil {
			t.Errorf("the index: %d, %q, %v", status, body, err)
		}
	}
	if got := u.Requests(); got["/current/x86_64-repodata"] != 2 || got["/current/a-1_1.x86_64.xbps"] != 1 || len(got) != 2 {
		t.Errorf("requests: %v", got)
	}
}

func TestUpstreamGoesWrong(t *testing.T) {
	u, url := testUpstream(t)
	pkg, index := url+"/current/a-1_1.x86_64.xbps", url+"/current/x86_64-repodata"
	fail := func(faults ...Fault) {
		t.Helper()
		if err := u.Fail(faults...); err != nil {
			t.Fatal(err)
		}
	}
	fail(Fault{Path: "*.xbps", Status: http.StatusNotFound, Times: 2}, Fault{Path: "/current/x86_64-*", Status: http.StatusServiceUnavailable})
	for range 2 {
		if status, _, err := get(t, pkg, ""); status != http.StatusNotFound || err != nil {
			t.Errorf("a missing package: %d, %v", status, err)
		}
		if status, _, err := get(t, index, ""); status != http.StatusServiceUnavailable || err != nil {
			t.Errorf("a refused index: %d, %v", status, err)
		}
	}
	if status, body, err := get(t, pkg, ""); status != http.StatusOK || len(body) != 100_000 || err != nil {
		t.Errorf("the third time: %d, %d bytes, %v", status, len(body), err)
	}

	fail(Fault{Path: "*.xbps", Cut: 70_000})
	if status, body, err := get(t, pkg, ""); status != http.StatusOK || len(body) != 70_000 || err == nil {
		t.Errorf("cut: %d, %d bytes, %v; want 70000 and an error", status, len(body), err)
	}
	if status, body, err := get(t, pkg, "bytes=70000-"); status != http.StatusPartialContent || len(body) != 30_000 || err != nil {
		t.Errorf("the rest: %d, %d bytes, %v", status, len(body), err)
	}

	fail()
	if status, body, err := get(t, pkg, ""); status != http.StatusOK || len(body) != 100_000 || err != nil {
		t.Errorf("all is well: %d, %d bytes, %v", status, len(body), err)
	}
}

func TestUpstreamIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := httptest.NewRecorder()
		w := &faulty{ResponseWriter: rec, fault: Fault{Rate: 1000}, ctx: t.Context()}
		begin := time.Now()
		if n, err := w.Write(make([]byte, 2500)); n != 2500 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		if took := time.Since(begin); took != 2500*time.Millisecond || rec.Body.Len() != 2500 {
			t.Errorf("%d bytes took %s, want 2500 in 2.5 s", rec.Body.Len(), took)
		}
	})
}

func TestUpstreamRefusesWhatIsNoFault(t *testing.T) {
	u, url := testUpstream(t)
	for _, f := range []Fault{{Path: "[", Cut: 1}, {Cut: 1}, {Path: "*.xbps"}} {
		if err := u.Fail(f); err == nil {
			t.Errorf("Fail(%+v) accepts it", f)
		}
	}
	if status, _, err := get(t, url+"/current/x86_64-repodata", ""); status != http.StatusOK || err != nil {
		t.Errorf("the index: %d, %v", status, err)
	}
}

// As in the rack: told through a socket, unreachable once it has stopped.
func TestUpstreamIsToldThroughItsSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a rack's sockets are in /run")
	}
	u, _ := testUpstream(t)
	r := &Rack{Name: "upstream-test", Dir: t.TempDir()}
	if err := os.MkdirAll(r.socketsDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(r.socketsDir()) })
	files, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	control, err := net.Listen("unix", r.upstreamSocket())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- u.Serve(ctx, files, control) }()

	index := "http://" + files.Addr().String() + "/current/x86_64-repodata"
	if err := r.FailUpstream(ctx, Fault{Path: "*-repodata", Status: http.StatusNotFound}); err != nil {
		t.Fatal(err)
	}
	if status, _, err := get(t, index, ""); status != http.StatusNotFound || err != nil {
		t.Errorf("the index: %d, %v", status, err)
	}
	if err := r.FailUpstream(ctx, Fault{Path: "*"}); err == nil || !strings.Contains(err.Error(), "want status, cut or rate") {
		t.Errorf("a fault without effect: %v", err)
	}
	if err := r.FailUpstream(ctx); err != nil {
		t.Fatal(err)
	}
	if status, body, err := get(t, index, ""); status != http.StatusOK || !bytes.Equal(body, []byte("index")) || err != nil {
		t.Errorf("the index, well again: %d, %q, %v", status, body, err)
	}
	if requests, err := r.UpstreamRequests(ctx); err != nil || requests["/current/x86_64-repodata"] != 2 {
		t.Errorf("UpstreamRequests = %v, %v", requests, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Serve = %v", err)
	}
	if _, _, err := get(t, index, ""); err == nil {
		t.Error("it is served after the end")
	}
}
