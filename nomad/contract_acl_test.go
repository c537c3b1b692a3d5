package nomad

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// What tokens, policies, pools and namespaces answer, and what each capability
// opens, is the same on both.
func TestContractACL(t *testing.T) {
	onBoth(t, true, func(t *testing.T, p peer) {
		a := asker(t, p)
		t.Run("wire", a.wire)
		t.Run("capabilities", func(t *testing.T) { capabilities(t, a) })
	})
}

// ask makes requests of one cluster, with a token.
type ask func(token, method, path, body string) (code int, text string)

func asker(t *testing.T, p peer) ask {
	access, err := p.cfg.Access()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: access.TLS}}
	t.Cleanup(client.CloseIdleConnections)
	return func(token, method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(within(t), method, p.cfg.Address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("X-Nomad-Token", token)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(raw)
	}
}

func (a ask) wire(t *testing.T) {
	const (
		none  = "aaaaaaaa-1111-2222-3333-444444444444"
		given = "11111111-2222-3333-4444-777777777777"
		wrong = "11111111-2222-3333-4444-888888888888"
		rules = `"Rules":"node {\n policy = \"read\"\n}"`
	)
	for _, test := range []struct {
		token, method, path, body string
		code                      int
		want                      string // the whole text, or with … its beginning
	}{
		{root, "GET", "/v1/acl/bootstrap", "", 405, "Invalid method"},
		{"", "PUT", "/v1/acl/bootstrap", `{"BootstrapSecret":"nope"}`, 400, "ACL bootstrap already done (reset index: …"},
		{"", "PUT", "/v1/acl/bootstrap", "", 400, "ACL bootstrap already done (reset index: …"},
		{"", "GET", "/v1/acl/token/self", "", 200, `{…`},
		{wrong, "GET", "/v1/acl/token/self", "", 403, "Permission denied"},
		{wrong, "GET", "/v1/nodes", "", 403, "Permission denied"},
		{"", "GET", "/v1/nodes", "", 403, "Permission denied"},
		{"", "GET", "/v1/agent/members", "", 403, "Permission denied"},
		{"", "GET", "/v1/agent/self", "", 403, "Permission denied"},
		{"", "GET", "/v1/acl/tokens", "", 403, "Permission denied"},
		{"", "PUT", "/v1/acl/policy/x", `{"Name":"x"}`, 403, "Permission denied"},
		{"", "PUT", "/v1/acl/policy/x", `{"Name":"y"}`, 400, "ACL policy name does not match request path"},
		{"", "GET", "/v1/acl/policies", "", 200, "[]"},
		{"", "GET", "/v1/namespaces", "", 200, "[]"},
		{"", "GET", "/v1/node/pools", "", 200, "[]"},
		{"", "GET", "/v1/status/leader", "", 200, `"127.0.0.1:…`},
		{root, "GET", "/v1/agent/members", "", 200, `{"Members":[{"Addr":"127.0.0.1",…`},
		{root, "GET", "/v1/regions", "", 200, `["global"]`},

		{root, "GET", "/v1/acl/policy/nope", "", 404, "ACL policy not found"},
		{root, "PUT", "/v1/acl/policy/x", `{"Name":"x",` + rules + `}`, 200, ""},
		{root, "PUT", "/v1/acl/policy/x", `{"Name":"x","Rules":""}`, 200, ""},
		{root, "PUT", "/v1/acl/policy/x", `{"Name":"y",` + rules + `}`, 400, "ACL policy name does not match request path"},
		{root, "PUT", "/v1/acl/policy/x_y", `{"Name":"x_y",` + rules + `}`, 400, "policy 0 invalid: 1 error occurred:\n\t* invalid name 'x_y'\n\n"},
		{root, "PUT", "/v1/acl/policy/x", `{"Name":"x","Rules":"node { policy = "}`, 400, "policy 0 invalid: 1 error occurred:\n\t* failed to parse rules: Failed to parse ACL Policy: At 1:…"},
		{root, "PUT", "/v1/acl/policy/x", `{"Name":"x","Rules":"nodes { policy = \"read\" }"}`, 400, "policy 0 invalid: 1 error occurred:\n\t* failed to parse rules: Invalid policy: nodes { policy = \"read\" }\n\n"},
		{root, "PUT", "/v1/acl/policy/x", `{"Name":"x","Rules":"node { policy = \"fly\" }"}`, 400, "policy 0 invalid: 1 error occurred:\n\t* failed to parse rules: Invalid node policy: …"},
		{root, "PUT", "/v1/acl/policy/x", `{"Name":"x","Rules":"namespace \"a\" { capabilities = [\"fly\"] }"}`, 400, "policy 0 invalid: 1 error occurred:\n\t* failed to parse rules: Invalid namespace capability 'fly': …"},
		{root, "PUT", "/v1/acl/policy/x", `{"Name":"x","Rules":"namespace \"a\" { policy = \"fly\" }"}`, 400, "policy 0 invalid: 1 error occurred:\n\t* failed to parse rules: Invalid namespace policy: …"},
		{root, "PUT", "/v1/acl/policy/x", `{"Name":"x","Rules":"node_pool \"a\" { policy = \"fly\" }"}`, 400, "policy 0 invalid: 1 error occurred:\n\t* failed to parse rules: Invalid node pool policy 'fly' for 'a'\n\n"},
		{root, "PUT", "/v1/acl/policy/x", `{"Name":"x","Rules":"node {\n policy = \"read\"\n}\nnodes {\n policy = \"read\"\n}"}`, 400, "policy 0 invalid: 1 error occurred:\n\t* failed to parse rules: Invalid or duplicate policy keys: nodes\n\n"},
		{root, "PUT", "/v1/acl/policy/job", `{"Name":"job",` + rules + `,"JobACL":{"JobID":"proxy"}}`, 400, "policy 0 invalid: 1 error occurred:\n\t* namespace must be set to set job ID\n\n"},
		{root, "PUT", "/v1/acl/policy/job", `{"Name":"job",` + rules + `,"JobACL":{"Namespace":"default","JobID":"proxy"}}`, 200, ""},
		{root, "DELETE", "/v1/acl/policy/job", "", 200, ""},
		{root, "DELETE", "/v1/acl/policy/nope", "", 200, ""},

		{root, "PUT", "/v1/acl/token", `{"Name":"x","Type":"client"}`, 400, "token 0 invalid: 1 error occurred:\n\t* client token missing policies or roles\n\n"},
		{root, "PUT", "/v1/acl/token", `{"Name":"x","Type":"odd","Policies":["x"]}`, 400, "token 0 invalid: 1 error occurred:\n\t* token type must be client or management\n\n"},
		{root, "PUT", "/v1/acl/token", `{"Name":"x","Type":"management","Policies":["x"]}`, 400, "token 0 invalid: 1 error occurred:\n\t* management token cannot be associated with policies or roles\n\n"},
		{root, "PUT", "/v1/acl/token", `{"Name":"x","Type":"client","Policies":["x"],"ExpirationTTL":"10s"}`, 400, "token 0 invalid: 1 error occurred:\n\t* expiration time cannot be less than 1m0s in the future (was 10s)\n\n"},
		{root, "PUT", "/v1/acl/token", `{"Name":"x","Type":"client","Policies":["x"],"ExpirationTTL":"48h"}`, 400, "token 0 invalid: 1 error occurred:\n\t* expiration time cannot be more than 24h0m0s in the future (was 48h0m0s)\n\n"},
		{root, "PUT", "/v1/acl/token/" + given, `{"AccessorID":"` + given + `","SecretID":"` + given + `","Name":"x","Type":"client","Policies":["x"]}`, 200, "{…"},
		{given, "GET", "/v1/acl/token/" + given, "", 200, "{…"},
		{given, "GET", "/v1/acl/token/" + none, "", 403, "Permission denied"},
		{given, "GET", "/v1/acl/policy/x", "", 200, "{…"},
		{given, "GET", "/v1/acl/policy/provision", "", 403, "Permission denied"},
		{root, "GET", "/v1/acl/token/" + none, "", 404, "ACL token not found"},
		{root, "GET", "/v1/acl/token/short", "", 500, "acl token lookup failed: index error: UUID must be 36 characters"},
		{root, "DELETE", "/v1/acl/token/" + given, "", 200, ""},
		{root, "DELETE", "/v1/acl/token/" + given, "", 400, "Cannot delete nonexistent tokens: " + given},

		{root, "GET", "/v1/node/pool/nope", "", 404, "node pool not found"},
		{root, "GET", "/v1/node/pool/default", "", 200, "{…"},
		{root, "PUT", "/v1/node/pool/gpu", `{"Name":"gpu","Description":"d"}`, 200, ""},
		{root, "PUT", "/v1/node/pools", `{"Name":"gpu","Description":"e"}`, 200, ""},
		{root, "PUT", "/v1/node/pool/gpu", `{"Name":"other"}`, 400, "Node pool name does not match request path"},
		{root, "PUT", "/v1/node/pool/all", `{"Name":"all"}`, 400, `modifying node pool "all" is not allowed`},
		{root, "PUT", "/v1/node/pool/a%20b", `{"Name":"a b"}`, 400, "invalid node pool \"a b\": 1 error occurred:\n\t* invalid name \"a b\", must match regex ^[a-zA-Z0-9-_]{1,128}$\n\n"},
		{root, "GET", "/v1/node/pool/gpu/nodes", "", 200, "[]"},
		{root, "DELETE", "/v1/node/pool/gpu", "", 200, ""},
		{root, "DELETE", "/v1/node/pool/gpu", "", 500, "node pool gpu not found"},
		{root, "DELETE", "/v1/node/pool/default", "", 500, `deleting node pool "default" is not allowed`},

		{root, "GET", "/v1/namespace/nope", "", 404, "Namespace not found"},
		{root, "PUT", "/v1/namespace/apps", `{"Name":"apps"}`, 200, ""},
		{root, "PUT", "/v1/namespace/apps", `{"Name":"other"}`, 400, "Namespace name does not match request path"},
		{root, "PUT", "/v1/namespace", `{"Name":"a_b"}`, 500, "Invalid namespace \"a_b\": 1 error occurred:\n\t* invalid name \"a_b\". Must match regex ^[a-zA-Z0-9-]{1,128}$\n\n"},
		{root, "DELETE", "/v1/namespace/apps", "", 200, ""},
		{root, "DELETE", "/v1/namespace/apps", "", 500, "namespace not found"},
		{root, "DELETE", "/v1/namespace/default", "", 500, "can not delete default namespace"},

		{root, "PUT", "/v1/job/x/plan", `{}`, 400, "Job must be specified"},
		{root, "PUT", "/v1/job/x/plan", `{"Job":{"ID":"y"}}`, 400, "Job ID does not match"},
		{root, "PUT", "/v1/jobs?namespace=nope", `{"Job":{"ID":"x"}}`, 500, "2 errors occurred:\n\t* job \"x\" is in nonexistent namespace \"nope\"\n\t* Missing job task groups\n\n"},
	} {
		code, text := a(test.token, test.method, test.path, test.body)
		prefix, more := strings.CutSuffix(test.want, "…")
		if code != test.code || (text != test.want && !more) || !strings.HasPrefix(text, prefix) {
			t.Errorf("%s %s %s: %d %q, want %d %q", test.method, test.path, test.body, code, text, test.code, test.want)
		}
	}
}

// capabilities gives tokens one capability after the other. What is not opened by
// one is refused, with the answer of a real server.
func capabilities(t *testing.T, a ask) {
	const job = `{"Job":{"ID":"one","Type":"batch","Datacenters":["*"],"TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"raw_exec","Config":{"command":"true"}}]}]}}`
	if code, text := a(root, "PUT", "/v1/jobs", job); code != 200 {
		t.Fatalf("register: %d %s", code, text)
	}
	calls := []struct{ method, path, body string }{
		{"GET", "/v1/jobs", ""},
		{"GET", "/v1/jobs?namespace=*", ""},
		{"GET", "/v1/job/one", ""},
		{"GET", "/v1/job/one/allocations", ""},
		{"GET", "/v1/job/one/summary", ""},
		{"POST", "/v1/jobs/parse", `{"JobHCL":"job \"x\" {}"}`},
		{"PUT", "/v1/jobs", job},
		{"PUT", "/v1/job/one/plan", job},
		{"DELETE", "/v1/job/nope", ""},
		{"POST", "/v1/job/nope/dispatch", `{"Meta":{}}`},
		{"GET", "/v1/nodes", ""},
		{"GET", "/v1/agent/members", ""},
		{"GET", "/v1/agent/self", ""},
		{"PUT", "/v1/node/aaaaaaaa-1111-2222-3333-444444444444/purge", ""},
		{"PUT", "/v1/acl/identity/client-introduction-token", `{"NodeName":"x"}`},
		{"GET", "/v1/node/pool/default", ""},
		{"PUT", "/v1/node/pool/gpu", `{"Name":"gpu"}`},
		{"GET", "/v1/namespace/default", ""},
		{"GET", "/v1/acl/tokens", ""},
	}
	for rules, opened := range map[string]string{
		`namespace "default" { capabilities = ["list-jobs"] }`:                                  "1100000000000000010",
		`namespace "default" { capabilities = ["read-job"] }`:                                   "0011100000000000010",
		`namespace "default" { capabilities = ["parse-job"] }`:                                  "0000010000000000010",
		`namespace "default" { capabilities = ["submit-job"] }`:                                 "0000011110000000010",
		`namespace "default" { capabilities = ["dispatch-job"] }`:                               "0000000001000000010",
		`namespace "default" { capabilities = ["read-logs"] }`:                                  "0000000000000000010",
		`namespace "default" { policy = "read" }`:                                               "1111110000000000010",
		`namespace "default" { policy = "write" }`:                                              "1111111111000000010",
		`namespace "*" { policy = "read" }`:                                                     "1111110000000000010",
		"namespace \"*\" {\n policy = \"read\"\n}\nnamespace \"def*\" {\n policy = \"deny\"\n}": "0100000000000000000",
		`namespace "other" { policy = "write" }`:                                                "0100000000000000000",
		`node { policy = "read" }`:                                                              "0000000000110000000",
		`node { policy = "write" }`:                                                             "0000000000110110000",
		`agent { policy = "read" }`:                                                             "0000000000001000000",
		`node_pool "*" { policy = "read" }`:                                                     "0000000000000001000",
		`node_pool "gpu" { policy = "write" }`:                                                  "0000000000000000100",
		`operator { policy = "write" }`:                                                         "0000000000000000000",
	} {
		token := mint(t, a, rules)
		for i, call := range calls {
			code, text := a(token, call.method, call.path, call.body)
			denied := code == http.StatusForbidden && text == "Permission denied"
			if denied != (opened[i] == '0') {
				t.Errorf("%s: %s %s: %d %q, want it refused: %t", rules, call.method, call.path, code, text, opened[i] == '0')
			}
		}
	}
}

// mint makes a token with rules of its own.
func mint(t *testing.T, a ask, rules string) string {
	t.Helper()
	if code, text := a(root, "PUT", "/v1/acl/policy/one", fmt.Sprintf(`{"Name":"one","Rules":%q}`, rules)); code != 200 {
		t.Fatalf("policy %s: %d %s", rules, code, text)
	}
	code, text := a(root, "PUT", "/v1/acl/token", `{"Type":"client","Policies":["one"]}`)
	var made api.ACLToken
	if err := made.UnmarshalJSON([]byte(text)); code != 200 || err != nil {
		t.Fatalf("token: %d %s %v", code, text, err)
	}
	return made.SecretID
}
