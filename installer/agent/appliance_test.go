package agent

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"provision.internal/installer"
)

// appliance is the other side of the agent's protocol, over real TLS. A test
// replaces answers by path.
type appliance struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex
	asked    []string // paths without their prefix, in order
	bodies   map[string][]string
	sessions []string
	answers  map[string][]func(http.ResponseWriter) bool // by path; each is used once, true means that it has answered
	welcome  installer.Welcome
	plan     installer.Plan
}

func newAppliance(t testing.TB) *appliance {
	a := &appliance{
		t: t, bodies: map[string][]string{}, answers: map[string][]func(http.ResponseWriter) bool{},
		welcome: installer.Welcome{Session: "session-1", Action: installer.ActionInstall, Host: "node1", Disk: "DISK1"},
		plan:    testPlan("DISK1"),
	}
	a.Server = httptest.NewUnstartedServer(a)
	a.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that tests make fail
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

// ca is the certificate that the agent must pin.
func (a *appliance) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})
}

func (a *appliance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, installer.AgentPrefix), installer.EnrolPrefix)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	a.mu.Lock()
	a.asked = append(a.asked, path)
	a.bodies[path] = append(a.bodies[path], string(body))
	a.sessions = append(a.sessions, path+" "+r.Header.Get("Authorization"))
	var answer func(http.ResponseWriter) bool
	if queue := a.answers[path]; len(queue) > 0 {
		answer, a.answers[path] = queue[0], queue[1:]
	}
	welcome, plan := a.welcome, a.plan
	a.mu.Unlock()
	if answer != nil && answer(w) {
		return
	}
	switch path {
	case installer.HelloPath:
		reply(w, welcome)
	case installer.GrantPath:
		reply(w, plan)
	case installer.EnrolPath:
		var q installer.Enrol
		if err := json.Unmarshal(body, &q); err != nil {
			panic(http.ErrAbortHandler)
		}
		stage := installer.StageQuarantine
		if q.Stage == stage {
			stage = installer.StageMember
		}
		reply(w, enrolled(stage))
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// enrolled is what makes a host be at stage.
func enrolled(stage installer.Stage) installer.Enrolled {
	return installer.Enrolled{Stage: stage, Certificate: "cert\n", CA: "ca\n", Files: []installer.File{
		{Path: "/etc/nomad.d/client.hcl", Content: string(stage) + "\n"},
		{Path: "/var/lib/nomad/client/intro_token.jwt", Mode: 0o600, Content: "jwt for " + string(stage)},
	}}
}

func reply(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// then queues answers for a path.
func (a *appliance) then(path string, answers ...func(http.ResponseWriter) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[path] = append(a.answers[path], answers...)
}

// Answers: a refusal, a connection that is cut, the default.
func refuse(status int, why string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		w.WriteHeader(status)
		reply(w, map[string]string{"error": why})
		return true
	}
}

func cut(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }

func say(v any) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool { reply(w, v); return true }
}

// paths are the requests in order, without the reports, whose number depends on
// timing.
func (a *appliance) paths() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, p := range a.asked {
		if p != installer.ReportPath {
			all = append(all, p)
		}
	}
	return all
}

// shown are the requests with the authorisation that each carried.
func (a *appliance) shown() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.sessions)
}

// read decodes the bodies of the requests for path.
func read[T any](a *appliance, path string) []T {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []T
	for _, b := range a.bodies[path] {
		var v T
		if err := json.Unmarshal([]byte(b), &v); err != nil {
			a.t.Fatalf("%s: %v in %s", path, err, b)
		}
		all = append(all, v)
	}
	return all
}
