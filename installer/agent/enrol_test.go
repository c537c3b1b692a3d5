package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision.internal/installer"
)

// installed is a machine as the install leaves it, with the appliance's address.
func installed(t *testing.T, a *appliance) (*machine, *Enrolment) {
	m := newMachine(t)
	b, err := json.Marshal(installer.EnrolConfig{Host: "node1", FirstBoot: installer.FirstBoot{URL: a.URL, HTTP: "http://10.0.0.1", CA: string(a.ca()), Token: "token"}})
	if err != nil {
		t.Fatal(err)
	}
	m.put(installer.EnrolFile, string(b))
	m.put(installer.EnabledDir+"/"+installer.FirstBootService, "a link in truth")
	return m, enrolment(t, m)
}

func enrolment(t *testing.T, m *machine) *Enrolment {
	return &Enrolment{System: m.system(), Log: &Log{Console: t.Output()}, SetTime: func(context.Context, string) error { return m.effect("set the time") }}
}

var nomadUUID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// checkEnrolled holds the machine against what every enrolment must leave.
func checkEnrolled(t *testing.T, m *machine) {
	t.Helper()
	for name, want := range map[string]string{
		installer.HostCertificate:                               "cert\n",
		installer.HostCA:                                        "ca\n",
		"/etc/nomad.d/client.hcl":                               "member\n",
		"/var/lib/nomad/client/intro_token.jwt":                 "jwt for member",
		installer.StageFile:                                     "member\n",
		installer.EnrolFile:                                     "",
		installer.EnabledDir + "/" + installer.FirstBootService: "",
	} {
		if got := m.get(name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{installer.NomadID, installer.NomadSecret} {
		if got := m.get(name); !nomadUUID.MatchString(got) {
			t.Errorf("%s holds %q, want a UUID and no newline", name, got)
		}
	}
	if m.get(installer.EnrolledMark) == "" {
		t.Error("the mark is missing")
	}
	if to, err := os.Readlink(filepath.Join(m.root, installer.EnabledDir, "nomad")); to != "/etc/sv/nomad" {
		t.Errorf("nomad's service is %q, %v", to, err)
	}
	for name, want := range map[string]os.FileMode{installer.HostKey: 0o600, installer.NomadSecret: 0o600, "/var/lib/nomad/client/intro_token.jwt": 0o600, "/etc/nomad.d/client.hcl": 0o644} {
		if st, err := os.Stat(filepath.Join(m.root, name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, %v; want %v", name, st.Mode(), err, want)
		}
	}
}

// publicKey reads the key of a certificate request.
func publicKey(t *testing.T, request string) *ecdsa.PublicKey {
	t.Helper()
	block, rest := pem.Decode([]byte(request))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) > 0 {
		t.Fatalf("no certificate request: %s", request)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Error(err)
	}
	if csr.Subject.CommonName != "node1" {
		t.Errorf("the request is for %q", csr.Subject.CommonName)
	}
	return csr.PublicKey.(*ecdsa.PublicKey)
}

func TestEnrol(t *testing.T) {
	a := newAppliance(t)
	m, e := installed(t, a)
	if err := e.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	checkEnrolled(t, m)
	if d := cmp.Diff([]string{"host", "status", "host", "status"}, a.paths()); d != "" {
		t.Errorf("requests differ (-want +got):\n%s", d)
	}
	asked := read[installer.Enrol](a, "host")[0]
	if asked.Token != "token" || asked.Host != "node1" {
		t.Errorf("the request was %+v", asked)
	}
	block, _ := pem.Decode([]byte(m.get(installer.HostKey)))
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil || !key.PublicKey.Equal(publicKey(t, asked.Request)) {
		t.Errorf("the key on the disk is not that of the request: %v", err)
	}
	for _, body := range a.bodies["host"] {
		if strings.Contains(body, "PRIVATE") {
			t.Error("the private key travelled")
		}
	}
	for i, s := range read[installer.Status](a, "status") {
		if s.Done != (i == 1) || s.Token != "token" || s.Host != "node1" || len(s.Lines) == 0 || !publicKey(t, s.Request).Equal(publicKey(t, asked.Request)) {
			t.Errorf("status %d was %+v", i, s)
		}
	}
	if done := m.done(); len(done) != 1 || done[0] != "set the time" {
		t.Errorf("effects are %q, want the clock set before TLS", done)
	}
}

var errPowerLost = errors.New("power lost")

// Power goes at each point, and at each further point of what follows: the next
// boot completes with the same key.
func TestEnrolSurvivesPowerLoss(t *testing.T) {
	boots := func(t *testing.T, a *appliance, m *machine) {
		t.Helper()
		for range 2 { // the second has nothing to do
			if err := enrolment(t, m).Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			checkEnrolled(t, m)
		}
		keys := read[installer.Enrol](a, "host")
		for _, k := range keys[1:] {
			if !publicKey(t, k.Request).Equal(publicKey(t, keys[0].Request)) {
				t.Error("a later boot used another key")
			}
		}
	}
	// lost runs a first boot that ends where the context does.
	lost := func(t *testing.T, path string, before bool) {
		a := newAppliance(t)
		m, e := installed(t, a)
		ctx, off := context.WithCancelCause(context.Background())
		a.then(path, func(w http.ResponseWriter) bool {
			off(errPowerLost)
			if before {
				panic(http.ErrAbortHandler)
			}
			return false
		})
		if err := e.Run(ctx); before && !errors.Is(err, errPowerLost) {
			t.Errorf("Run = %v", err)
		}
		boots(t, a, m)
	}
	t.Run("when the key was written", func(t *testing.T) { lost(t, "host", true) })
	t.Run("when the answer was on its way", func(t *testing.T) { lost(t, "host", false) })
	t.Run("when Nomad was enabled", func(t *testing.T) { lost(t, "status", true) })
	t.Run("when all was reported", func(t *testing.T) { lost(t, "status", false) })
	t.Run("when the mark was left", func(t *testing.T) {
		a := newAppliance(t)
		m, e := installed(t, a)
		config := m.get(installer.EnrolFile)
		if err := e.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		m.put(installer.EnrolFile, config)
		m.put(installer.EnabledDir+"/"+installer.FirstBootService, "")
		boots(t, a, m)
	})
	t.Run("when the token was deleted", func(t *testing.T) {
		a := newAppliance(t)
		m, e := installed(t, a)
		if err := e.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		m.put(installer.EnabledDir+"/"+installer.FirstBootService, "")
		boots(t, a, m)
		if n := len(a.paths()); n != 4 {
			t.Errorf("%d requests, want those of the first boot only", n)
		}
	})
}

// Faults of the appliance and of the network cost time; a refusal is asked
// again much later, because an operator may lift it.
func TestEnrolRetries(t *testing.T) {
	a := newAppliance(t)
	m, e := installed(t, a)
	m.fail["set the time"] = errors.New("no route")
	tries := 0
	m.hooks["set the time"] = func() {
		if tries++; tries == 2 {
			delete(m.fail, "set the time")
		}
	}
	a.then("host", cut, refuse(500, "starting"), refuse(403, "the token has expired"))
	a.then("status", cut)
	if err := e.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	checkEnrolled(t, m)
	if m.waited < refusedPause || m.waited > refusedPause+10*enrolPauseMost {
		t.Errorf("waited %s, want %s for the refusal and little for the rest", m.waited, refusedPause)
	}
}

// Nomad is not started before it has everything: what cannot be written ends
// the attempt.
// A host that enrols again, because an answer was lost, may have a node by then:
// it stays that node. An empty file is what a loss of power may leave.
func TestEnrolKeepsTheNode(t *testing.T) {
	m := newMachine(t)
	m.put(installer.NomadID, "7a780c47-390f-e4db-6dd9-10096b4b2ac9")
	m.put(installer.NomadSecret, "")
	e := enrolment(t, m)
	if err := e.identify(); err != nil {
		t.Fatal(err)
	}
	id, secret := m.get(installer.NomadID), m.get(installer.NomadSecret)
	if id != "7a780c47-390f-e4db-6dd9-10096b4b2ac9" || !nomadUUID.MatchString(secret) {
		t.Errorf("identity %q with secret %q, want the old one and a new secret", id, secret)
	}
	if err := e.identify(); err != nil {
		t.Fatal(err)
	}
	if again := m.get(installer.NomadSecret); again != secret {
		t.Errorf("a second enrolment changed the secret from %q to %q", secret, again)
	}
}

func TestEnrolEnablesNomadLast(t *testing.T) {
	a := newAppliance(t)
	m, e := installed(t, a)
	m.put("/etc/nomad.d/client.hcl/in the way", "")
	ctx, off := context.WithCancel(context.Background())
	e.System.Wait = func(context.Context, time.Duration) error { off(); return context.Canceled }
	if err := e.Run(ctx); err == nil {
		t.Error("Run succeeded")
	}
	if _, err := os.Lstat(filepath.Join(m.root, installer.EnabledDir, "nomad")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nomad is enabled: %v", err)
	}
	if m.get(installer.EnrolFile) == "" {
		t.Error("the token is gone")
	}
}

// A host without a token was not installed by us, or its disk lost it: it says so.
func TestEnrolWithoutToken(t *testing.T) {
	for name, content := range map[string]string{"missing": "", "damaged": "{"} {
		m := newMachine(t)
		if content != "" {
			m.put(installer.EnrolFile, content)
		}
		if err := enrolment(t, m).Run(context.Background()); err == nil || !strings.Contains(err.Error(), "provision reinstall") {
			t.Errorf("%s: Run = %v, want what to do", name, err)
		}
	}
}
