package nomad

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// loopback is where all of these tests' machines are.
var loopback = netip.MustParsePrefix("127.0.0.0/8")

// enrolled brings host1 into p's cluster.
func enrolled(t *testing.T, p peer) (*Cluster, Node) {
	t.Helper()
	c := connectAt(t, p.cfg, realPace)
	h := Client{Name: "host1", Network: loopback}
	files, err := c.Enrol(within(t), h, "")
	if err != nil {
		t.Fatal(err)
	}
	p.join(t, h, files)
	node, err := c.WaitNode(within(t), "host1", "raw_exec")
	if err != nil {
		t.Fatal(err)
	}
	return c, node
}

func TestContract(t *testing.T) { onBoth(t, false, contract) }

func contract(t *testing.T, p peer) {
	c, node := enrolled(t, p)
	t.Run("wire", func(t *testing.T) { wire(t, p.cfg.Address, node.ID) })
	t.Run("stream", func(t *testing.T) {
		if _, err := c.listNodes(within(t)); err != nil {
			t.Fatal(err)
		}
		enough := errors.New("enough")
		lines := 0
		err := c.stream(within(t), 1, func(_ context.Context, e events) error {
			if lines == 0 && (e.Index != 0 || len(e.Events) != 0) {
				t.Errorf("the stream begins with %+v, want a heartbeat", e)
			}
			if lines++; len(e.Events) > 0 {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Errorf("the stream from index 1 ended with %v before its first event", err)
		}
	})
	t.Run("job", func(t *testing.T) {
		got, err := c.RunJob(within(t), Job{Host: "host1", Role: "worker", Attempt: "contract"})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Logs) != 1 || got.Logs[0].Lines[0] != "configure host1 as worker" {
			t.Errorf("logs %+v, want what the job wrote", got.Logs)
		}
		job := &api.Job{ID: new(got.JobID), TaskGroups: []*api.TaskGroup{api.NewTaskGroup("g", 1).AddTask(api.NewTask("t", "raw_exec"))}}
		_, _, err = c.api.Jobs().EnforceRegister(job, 0, nil)
		if code, body := answer(err); code != http.StatusInternalServerError || body != "Enforcing job modify index 0: job already exists" {
			t.Errorf("a second registration: %d %q", code, body)
		}
	})
}

// wire compares what is not seen through the client: statuses, texts, headers.
func wire(t *testing.T, url, node string) {
	const none = "aaaaaaaa-1111-2222-3333-444444444444"
	for _, test := range []struct {
		method, path, body string
		code               int
		want               string // the whole text, or with … its beginning
		headers            string // r: of a read, 0: of a read where nothing is yet, w: the index alone, -: neither
	}{
		{"GET", "/v1/node/" + none, "", 404, "node not found", "r"},
		{"GET", "/v1/node/short", "", 500, "node lookup failed: index error: UUID must be 36 characters", "-"},
		{"GET", "/v1/node/" + node, "", 200, "{…", "r"},
		{"GET", "/v1/nodes", "", 200, "[{…", "r"},
		{"DELETE", "/v1/nodes", "", 405, "Invalid method", "-"},
		{"PUT", "/v1/node/" + none + "/eligibility", `{"Eligibility":"eligible"}`, 500, "node not found", "-"},
		{"PUT", "/v1/node/" + none + "/purge", "", 500, "node not found", "-"},
		{"PUT", "/v1/node/" + node + "/eligibility", `{"Eligibility":"eligible"}`, 200, `{"EvalCreateIndex":0,"EvalIDs":null,"Index":…`, "w"},
		{"GET", "/v1/allocation/" + none, "", 404, "alloc not found", "0"},
		{"GET", "/v1/evaluation/" + none, "", 404, "eval not found", "0"},
		{"GET", "/v1/job/nope", "", 404, "job not found", "0"},
		{"GET", "/v1/job/nope/allocations", "", 200, "[]", "0"},
		{"GET", "/v1/job/nope/evaluations", "", 200, "[]", "0"},
		{"GET", "/v1/job/nope/summary", "", 404, "job not found", "0"},
		{"DELETE", "/v1/job/nope", "", 200, `{"EvalCreateIndex":0,"EvalID":"","Index":0,…`, "-"},
		{"POST", "/v1/jobs", "{bad json", 400, "invalid character 'b' looking for beginning of object key string", "-"},
		{"POST", "/v1/jobs", "{}", 400, "Job must be specified", "-"},
		{"POST", "/v1/jobs", `{"Job":{"ID":"x"}}`, 500, "1 error occurred:\n\t* Missing job task groups\n\n", "-"},
		{"POST", "/v1/jobs/parse", `{"JobHCL":"job \"x\" {"}`, 400, "Failed to parse job: input.hcl:1,9-10: Unclosed configuration block; …", "-"},
		{"GET", "/v1/client/fs/logs/" + none + "?task=t&type=stdout", "", 404, `Unknown allocation "` + none + `"`, "-"},
		{"GET", "/v1/client/fs/logs/" + none + "?type=stdout", "", 400, "must provide task name", "-"},
		{"GET", "/v1/event/stream?topic=a:b:c", "", 400, "Invalid topic query: error parsing topics: Invalid key value pair for topic, topic: a:b:c", "-"},
		{"GET", "/v1/acl/token/self", "", 200, "{…", "0"},
		{"GET", "/v1/status/leader", "", 200, `"127.0.0.1:…`, "-"},
		{"GET", "/v1/nonsense", "", 404, "", "-"},
	} {
		req, err := http.NewRequestWithContext(within(t), test.method, url+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		call, text := test.method+" "+test.path, string(raw)
		if prefix, more := strings.CutSuffix(test.want, "…"); resp.StatusCode != test.code || (text != test.want && !more) || !strings.HasPrefix(text, prefix) {
			t.Errorf("%s: %d %q, want %d %q", call, resp.StatusCode, text, test.code, test.want)
		}
		index, leader := resp.Header.Get("X-Nomad-Index"), resp.Header.Get("X-Nomad-Knownleader")
		switch test.headers {
		case "r", "0":
			if index == "" || (index == "0") != (test.headers == "0") || leader != "true" {
				t.Errorf("%s: X-Nomad-Index %q, X-Nomad-Knownleader %q, want those of %q", call, index, leader, test.headers)
			}
		case "w":
			if index == "" || leader != "" {
				t.Errorf("%s: X-Nomad-Index %q, X-Nomad-Knownleader %q, want the first alone", call, index, leader)
			}
		}
	}

	// A blocking query that times out answers with the same index.
	get := func(query string) string {
		resp, err := http.Get(url + "/v1/jobs" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.Header.Get("X-Nomad-Index")
	}
	first := get("")
	if again := get("?wait=10ms&index=" + first); again != first {
		t.Errorf("after a time-out the index is %s, want %s", again, first)
	}
}
