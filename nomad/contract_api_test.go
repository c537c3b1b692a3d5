package nomad

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Dispatches, evaluations, variables, metadata and the garbage collector are what
// they are on a real cluster.
func TestContractAPI(t *testing.T) {
	onBoth(t, false, func(t *testing.T, p peer) {
		_, node := enrolled(t, p)
		a := asker(t, p)
		t.Run("dispatch", a.dispatch)
		t.Run("variables", a.variables)
		t.Run("metadata", func(t *testing.T) { metadata(t, a, node.ID) })
		t.Run("garbage", a.garbage)
	})
}

// call is one request, and the text that it is answered with; with … its
// beginning.
type call struct {
	method, path, body string
	code               int
	want               string
}

func (a ask) all(t *testing.T, calls []call) {
	t.Helper()
	for _, c := range calls {
		code, text := a("", c.method, c.path, c.body)
		prefix, more := strings.CutSuffix(c.want, "…")
		if code != c.code || (text != c.want && !more) || !strings.HasPrefix(text, prefix) {
			t.Errorf("%s %s %s: %d %q, want %d %q", c.method, c.path, c.body, code, text, c.code, c.want)
		}
	}
}

func (a ask) dispatch(t *testing.T) {
	const job = `{"Job":{"ID":"ID","Type":"sysbatch","Datacenters":["*"],"ParameterizedJob":{"MetaRequired":["A"],"MetaOptional":["B"],"Payload":"forbidden"},
		"TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"raw_exec","Config":{"command":"/bin/true"}}]}]}}`
	plain := strings.Replace(job, "ParameterizedJob", "Nothing", 1)
	a.all(t, []call{
		{"PUT", "/v1/jobs", job, 200, `{"EvalCreateIndex":0,"EvalID":"",…`},
		{"PUT", "/v1/jobs", strings.Replace(plain, `"ID":"ID"`, `"ID":"plain"`, 1), 200, "{…"},
		{"PUT", "/v1/job/ID/dispatch", "", 400, "Request body is empty"},
		{"GET", "/v1/job/ID/dispatch", "", 405, "Invalid method"},
		{"PUT", "/v1/job/nope/dispatch", `{}`, 500, "parameterized job not found"},
		{"PUT", "/v1/job/plain/dispatch", `{}`, 500, `Specified job "plain" is not a parameterized job`},
		{"PUT", "/v1/job/ID/dispatch", `{"Meta":{"B":"1"}}`, 500, "Dispatch did not provide required meta keys: [A]"},
		{"PUT", "/v1/job/ID/dispatch", `{"Meta":{"A":"1","C":"2"}}`, 500, "Dispatch request included unpermitted metadata keys: [C]"},
		{"PUT", "/v1/job/ID/dispatch", `{"Meta":{"A":"1"},"Payload":"eA=="}`, 500, "Payload provided but forbidden by parameterized job"},
		{"PUT", "/v1/job/ID/evaluate", `{}`, 400, "Job ID must be specified"},
		{"PUT", "/v1/job/ID/evaluate", `{"JobID":"x"}`, 400, "JobID not same as job name"},
		{"PUT", "/v1/job/ID/evaluate", `{"JobID":"ID"}`, 500, "can't evaluate parameterized job"},
		{"PUT", "/v1/job/nope/evaluate", `{"JobID":"nope"}`, 500, "job not found"},
		{"PUT", "/v1/job/plain/evaluate", `{"JobID":"plain"}`, 200, `{"EvalCreateIndex":…`},
		{"GET", "/v1/allocations?namespace=nope", "", 200, "[]"},
		{"GET", "/v1/evaluations", "", 200, "[{…"},
	})
	// The same idempotency token gives the same child.
	child := func() (id, eval string) {
		code, text := a("", "PUT", "/v1/job/ID/dispatch?idempotency_token=once", `{"Meta":{"A":"1"}}`)
		var out struct{ DispatchedJobID, EvalID string }
		if err := json.Unmarshal([]byte(text), &out); code != 200 || err != nil {
			t.Fatalf("dispatch: %d %s", code, text)
		}
		return out.DispatchedJobID, out.EvalID
	}
	first, eval := child()
	again, none := child()
	if !strings.HasPrefix(first, "ID/dispatch-") || again != first || eval == "" || none != "" {
		t.Errorf("dispatches made %s (evaluation %q) and %s (%q), want one child with one evaluation", first, eval, again, none)
	}
	a.all(t, []call{
		{"GET", "/v1/job/" + strings.ReplaceAll(first, "/", "%2F"), "", 200, "{…"},
		{"DELETE", "/v1/job/ID", "", 200, "{…"},
		{"PUT", "/v1/job/ID/dispatch", `{"Meta":{"A":"1"}}`, 500, `Specified job "ID" is stopped`},
	})
}

func (a ask) variables(t *testing.T) {
	a.all(t, []call{
		{"GET", "/v1/vars", "", 200, "[]"},
		{"GET", "/v1/var/appliance/x", "", 404, "variable not found"},
		{"GET", "/v1/var/", "", 400, "missing variable path"},
		{"PUT", "/v1/var/appliance/x", `{"Path":"appliance/x","Items":{}}`, 400, "variable missing required Items object"},
		{"PUT", "/v1/var/appliance/bad%20path", `{"Items":{"a":"b"}}`, 400, `RPC Error:: 400,invalid path "appliance/bad path"`},
		{"PUT", "/v1/var/appliance/x", `{"Items":{"a":"` + strings.Repeat("x", 64<<10) + `"}}`, 400, "RPC Error:: 400,variables are limited to 64KiB in total size"},
		{"PUT", "/v1/var/appliance/x?cas=x", `{"Items":{"a":"b"}}`, 400, `can not parse cas: strconv.ParseUint: parsing "x": invalid syntax`},
		{"PUT", "/v1/var/appliance/x?cas=7", `{"Items":{"a":"b"}}`, 409, "{…"},
		{"PUT", "/v1/var/appliance/x?cas=0", `{"Items":{"a":"b"}}`, 200, "{…"},
		{"PUT", "/v1/var/appliance/x?cas=0", `{"Items":{"a":"c"}}`, 409, "{…"},
		{"PUT", "/v1/var/appliance/x", `{"Items":{"a":"d"}}`, 200, "{…"},
		{"DELETE", "/v1/var/appliance/x?cas=1", "", 409, "{…"},
		{"GET", "/v1/vars?prefix=appliance", "", 200, "[{…"},
		{"GET", "/v1/vars?prefix=other", "", 200, "[]"},
		{"DELETE", "/v1/var/appliance/x", "", 204, ""},
		{"DELETE", "/v1/var/appliance/x", "", 204, ""},
	})
}

// metadata is changed at the client at once, and at the scheduler some seconds
// later.
func metadata(t *testing.T, a ask, node string) {
	const none = "aaaaaaaa-1111-2222-3333-444444444444"
	a.all(t, []call{
		{"GET", "/v1/client/metadata", "", 400, "No local Node and node_id not provided"},
		{"GET", "/v1/client/metadata?node_id=" + none, "", 500, "Unknown node " + none},
		{"POST", "/v1/client/metadata?node_id=" + none, `{"Meta":{"a":"b"}}`, 500, "Unknown node " + none},
		{"POST", "/v1/client/metadata?node_id=" + node, `{"Meta":{"":"b"}}`, 400, "metadata keys must not be empty"},
		{"PUT", "/v1/node/" + none + "/evaluate", "", 500, "node not found"},
		{"PUT", "/v1/node/" + node + "/evaluate", "", 200, "{…"},
	})
	code, text := a("", "POST", "/v1/client/metadata?node_id="+node, `{"Meta":{"provision":"pending"}}`)
	var out struct {
		Dynamic map[string]*string
		Meta    map[string]string
	}
	if err := json.Unmarshal([]byte(text), &out); code != 200 || err != nil || out.Dynamic["provision"] == nil || out.Meta["provision"] != "pending" {
		t.Errorf("metadata: %d %s", code, text)
	}
	for ctx := within(t); ; time.Sleep(50 * time.Millisecond) {
		_, text := a("", "GET", "/v1/node/"+node, "")
		var n struct{ Meta map[string]string }
		if err := json.Unmarshal([]byte(text), &n); err == nil && n.Meta["provision"] == "pending" {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("the scheduler never hears of the new metadata")
		}
	}
}

// A collection takes dead jobs alone.
func (a ask) garbage(t *testing.T) {
	a.all(t, []call{
		{"GET", "/v1/system/gc", "", 405, "Invalid method"},
		{"DELETE", "/v1/job/plain", "", 200, "{…"},
	})
	for ctx := within(t); ; time.Sleep(50 * time.Millisecond) {
		if code, text := a("", "PUT", "/v1/system/gc", ""); code != http.StatusOK || text != "" {
			t.Fatalf("gc: %d %q", code, text)
		}
		if code, _ := a("", "GET", "/v1/job/plain", ""); code == http.StatusNotFound {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("a dead job is never collected")
		}
	}
}
