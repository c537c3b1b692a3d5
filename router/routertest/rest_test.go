package routertest

import (
	"encoding/json"
	"net/http"
	"testing"
)

func TestREST(t *testing.T) {
	r, _ := start(t, Config{Users: map[string]string{"admin": "secret"}})
	if err := r.ServeREST("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	must(t, r, "/interface/bridge/add", "=name=br0")
	for _, test := range []struct {
		method, path, password string
		status                 int
		want                   func(any) bool
	}{
		{"GET", "/rest/interface/bridge", "secret", 200, func(v any) bool {
			rows, ok := v.([]any)
			return ok && len(rows) == 1 && rows[0].(map[string]any)["vlan-filtering"] == "false"
		}},
		{"GET", "/rest/system/identity", "secret", 200, func(v any) bool { return v.(map[string]any)["name"] == "MikroTik" }},
		{"GET", "/rest/ip/pool", "secret", 200, func(v any) bool { rows, ok := v.([]any); return ok && len(rows) == 0 }},
		{"GET", "/rest/interface?name=ether3&.proplist=name", "secret", 200, func(v any) bool {
			rows, ok := v.([]any)
			return ok && len(rows) == 1 && len(rows[0].(map[string]any)) == 1
		}},
		{"GET", "/rest/interface/ether3", "secret", 200, func(v any) bool { return v.(map[string]any)["default-name"] == "ether3" }},
		{"GET", "/rest/interface/*3", "secret", 200, func(v any) bool { return v.(map[string]any)["name"] == "ether3" }},
		{"GET", "/rest/interface/ether99", "secret", 404, nil},
		{"GET", "/rest/frobnicate", "secret", 404, nil},
		{"GET", "/rest/interface", "wrong", 401, nil},
		{"PUT", "/rest/interface/bridge", "secret", 405, nil},
	} {
		request, err := http.NewRequest(test.method, "http://"+r.RESTAddr()+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("admin", test.password)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var body any
		err = json.NewDecoder(response.Body).Decode(&body)
		response.Body.Close()
		if err != nil || response.StatusCode != test.status || test.want != nil && !test.want(body) {
			t.Errorf("%s %s: %d %v (%v), want %d", test.method, test.path, response.StatusCode, body, err, test.status)
		}
		if failed, ok := body.(map[string]any); test.status >= 400 && (!ok || failed["error"] != float64(test.status)) {
			t.Errorf("%s %s: %v, want the error %d in it", test.method, test.path, body, test.status)
		}
	}
}
