package web_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/user"
	"strings"
	"testing"

	"provision.internal/host"
	"provision.internal/web"
)

func (a appliance) raw(t *testing.T, method, path, body string) (int, []byte) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", a.Socket)
	}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://provision"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

// What programs other than our client may send.
func TestBadRequestsAreRefusedInWords(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	a.seen(t, mac1)
	for _, c := range []struct {
		method, path, body string
		status             int
		code               web.Code
	}{
		{"POST", "/v1/enroll", `{"name": "node1", "mac`, 400, web.CodeInvalid},
		{"POST", "/v1/enroll", `{"name": "node1", "wipe": true}`, 400, web.CodeInvalid},
		{"POST", "/v1/enroll", `{"name": "node1", "mac": "52:54"}`, 400, web.CodeInvalid},
		{"POST", "/v1/enroll", `{"name": "` + strings.Repeat("x", 2<<20) + `"}`, 400, web.CodeInvalid},
		{"POST", "/v1/hosts/52:54:00:00:00:01/reinstall", ``, 400, web.CodeInvalid},
		{"POST", "/v1/hosts/nobody/retire", ``, 404, web.CodeUnknown},
		{"GET", "/v1/hosts/nobody", ``, 404, web.CodeUnknown},
		{"GET", "/v1/events?after=-1", ``, 400, web.CodeInvalid},
		{"GET", "/v1/events?tail=1000000000", ``, 400, web.CodeInvalid},
		{"GET", "/v1/events?since=yesterday", ``, 400, web.CodeInvalid},
	} {
		status, body := a.raw(t, c.method, c.path, c.body)
		var refusal web.Error
		if err := json.Unmarshal(body, &refusal); err != nil || status != c.status || refusal.Code != c.code || refusal.Message == "" {
			t.Errorf("%s %s %.40s: %d %s (%v), want %d with code %q and a message", c.method, c.path, c.body, status, body, err, c.status, c.code)
		}
	}
	if status, _ := a.raw(t, "DELETE", "/v1/hosts/52:54:00:00:00:01", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE of a host: %d, want %d", status, http.StatusMethodNotAllowed)
	}
	if h, err := a.Host(t.Context(), mac1.String()); err != nil || h.State != host.Seen {
		t.Errorf("after bad requests the host is %s (%v), want Seen", h.State, err)
	}
}

// The kernel vouches for who is at the other end.
func TestHistoryNamesTheOperator(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, t.TempDir(), nil)
	if _, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac1, Role: "worker"}); err != nil {
		t.Fatal(err)
	}
	events, err := a.Events(t.Context(), web.Query{})
	if err != nil || len(events) != 1 || events[0].Actor != "operator:"+me.Username {
		t.Errorf("events = %+v, %v; want one by operator:%s", events, err, me.Username)
	}
}
