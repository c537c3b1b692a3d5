package httpboot

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
)

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// request is a certificate request in PEM.
func request(t testing.TB, key crypto.Signer, q x509.CertificateRequest) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &q, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func named(name string) x509.CertificateRequest {
	return x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}
}

// installed brings mac1 to Installed and returns its enrolment token.
func (r *rig) installed(t testing.TB) string {
	t.Helper()
	r.admit(t, mac1, "n1", "")
	session, plan := r.take(t, mac1, secret1)
	if status := r.post(t, pathFinished, session, installer.Finished{}, nil); status != 200 {
		t.Fatalf("finished: status %d", status)
	}
	return plan.FirstBoot.Token
}

func TestEnrol(t *testing.T) {
	r := newRig(t)
	token := r.installed(t)
	key := newKey(t)
	q := installer.Enrol{Token: token, Host: "n1", Request: request(t, key, named("n1"))}
	for range 2 { // the second is the repeat of one whose answer got lost
		var answer installer.Enrolled
		if status := r.post(t, pathEnrol, "", q, &answer); status != 200 {
			t.Fatalf("enrol: status %d, want 200", status)
		}
		block, _ := pem.Decode([]byte(answer.Certificate))
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(answer.CA)) {
			t.Fatal("the answer has no authority")
		}
		_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: "n1", CurrentTime: t0, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil || cert.Subject.CommonName != "n1" || cert.IsCA || !slices.Equal(cert.DNSNames, []string{"n1", "client.global.nomad"}) || !slices.Equal(cert.Subject.OrganizationalUnit, []string{"worker"}) {
			t.Errorf("certificate of %v for %q: %v, want it valid for n1, a client of the cluster, alone", cert.Subject, cert.DNSNames, err)
		}
		if answer.Stage != installer.StageQuarantine || len(answer.Files) != 1 || answer.Files[0].Path != "/etc/nomad.d/client.hcl" {
			t.Errorf("stage %s with files %+v, want those of quarantine", answer.Stage, answer.Files)
		}
		r.wantState(t, mac1, host.Booted)
	}
	if h := r.get(t, mac1); h.Session != nil || h.Enrolment.Used.IsZero() {
		t.Errorf("host = %+v, want the token used and no session", h)
	}
	if got := r.events(t, mac1, host.KindState); len(got) != 4 {
		t.Errorf("state events = %q, want four: the repeat changes nothing", got)
	}
}

func TestEnrolRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, r *rig, q *installer.Enrol)
		want   int
		notice string
	}{
		{"a wrong token", func(t *testing.T, r *rig, q *installer.Enrol) { q.Token = newToken() }, 403, "wrong enrolment token"},
		{"no token", func(t *testing.T, r *rig, q *installer.Enrol) { q.Token = "" }, 403, "wrong enrolment token"},
		{"another host's token", func(t *testing.T, r *rig, q *installer.Enrol) {
			r.admit(t, mac2, "n2", "")
			q.Host, q.Request = "n2", request(t, newKey(t), named("n2"))
		}, 403, ""},
		{"an unknown host", func(t *testing.T, r *rig, q *installer.Enrol) { q.Host = "n9" }, 403, ""},
		{"no host", func(t *testing.T, r *rig, q *installer.Enrol) { q.Host = "" }, 403, ""},
		{"an expired token", func(t *testing.T, r *rig, q *installer.Enrol) { r.pass(enrolWithin) }, 403, "expired"},
		{"a used token, from another key, long after", func(t *testing.T, r *rig, q *installer.Enrol) {
			r.post(t, pathEnrol, "", q, nil)
			r.pass(2 * enrolWithin)
			q.Request = request(t, newKey(t), named("n1"))
		}, 403, "another key"},
		{"a token that another key has used", func(t *testing.T, r *rig, q *installer.Enrol) {
			if status := r.post(t, pathEnrol, "", q, nil); status != 200 {
				t.Fatalf("first use: status %d", status)
			}
			q.Request = request(t, newKey(t), named("n1"))
		}, 403, "another key"},
		{"a host that was retired", func(t *testing.T, r *rig, q *installer.Enrol) {
			r.put(t, mac1, func(h *host.Host) (err error) { *h, err = h.Advance(host.Retired, t0); return err })
		}, 403, "Retired"},
		{"a host that waits for another install", func(t *testing.T, r *rig, q *installer.Enrol) {
			r.admit(t, mac1, "n1", "")
		}, 403, "Admitted"},
		{"a certificate for another host", func(t *testing.T, r *rig, q *installer.Enrol) {
			q.Request = request(t, newKey(t), named("n2"))
		}, 400, `for "n2"`},
		{"no certificate request", func(t *testing.T, r *rig, q *installer.Enrol) { q.Request = "x" }, 400, "PEM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			q := installer.Enrol{Token: r.installed(t), Host: "n1", Request: request(t, newKey(t), named("n1"))}
			tt.change(t, r, &q)
			before := r.get(t, mac1)
			if status := r.post(t, pathEnrol, "", q, nil); status != tt.want {
				t.Errorf("enrol: status %d, want %d", status, tt.want)
			}
			if after := r.get(t, mac1); after.State != before.State || after.Enrolment.Used != before.Enrolment.Used {
				t.Errorf("host went from %s to %s, want no change", before.State, after.State)
			}
			if got := strings.Join(r.events(t, mac1, host.KindNotice), "\n"); !strings.Contains(got, tt.notice) {
				t.Errorf("notices = %q, want one with %q", got, tt.notice)
			}
			if q.Token != "" && strings.Contains(strings.Join(r.events(t, mac1, host.KindNotice), ""), q.Token) {
				t.Error("a notice holds a token")
			}
		})
	}
}

// The word "finished" may get lost, and a deadline may pass while a machine
// boots: the system that shows its token is complete.
func TestEnrolOfAHostThatWasGivenUp(t *testing.T) {
	for name, set := range map[string]func(t *testing.T, r *rig) string{
		"finished got lost": func(t *testing.T, r *rig) string {
			r.admit(t, mac1, "n1", "")
			_, plan := r.take(t, mac1, secret1)
			return plan.FirstBoot.Token
		},
		"its script was asked before": func(t *testing.T, r *rig) string {
			r.admit(t, mac1, "n1", "")
			_, plan := r.take(t, mac1, secret1)
			r.fetch(t, script1)
			return plan.FirstBoot.Token
		},
		"the deadline has passed": func(t *testing.T, r *rig) string {
			token := r.installed(t)
			r.put(t, mac1, func(h *host.Host) (err error) { *h, err = h.Fail("too late", t0); return err })
			return token
		},
	} {
		r := newRig(t)
		q := installer.Enrol{Token: set(t, r), Host: "n1", Request: request(t, newKey(t), named("n1"))}
		if status := r.post(t, pathEnrol, "", q, nil); status != 200 {
			t.Errorf("%s: enrol: status %d, want 200", name, status)
		}
		r.wantState(t, mac1, host.Booted)
	}
}

func TestFilesThatCannotBeMadeCostNoToken(t *testing.T) {
	r := newRig(t)
	token := r.installed(t)
	r.Members.(*members).broken = errors.New("Nomad does not answer")
	q := installer.Enrol{Token: token, Host: "n1", Request: request(t, newKey(t), named("n1"))}
	body, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	if status, text := r.raw(t, pathEnrol, "", "application/json", string(body)); status != http.StatusServiceUnavailable || !strings.Contains(text, "Nomad does not answer") {
		t.Errorf("enrol: status %d, %q; want 503, and for the host's console why it waits", status, text)
	}
	h := r.get(t, mac1)
	if h.State != host.Installed || !h.Enrolment.Used.IsZero() {
		t.Errorf("host = %s, used %s; want Installed with its token", h.State, h.Enrolment.Used)
	}
	if h.Progress.Step != host.StepEnrol || !strings.Contains(h.Progress.Text, "Nomad does not answer") {
		t.Errorf("progress = %+v, want why it waits", h.Progress)
	}
}

func TestStatus(t *testing.T) {
	r := newRig(t)
	token := r.installed(t)
	key := newKey(t)
	proof := request(t, key, named("n1"))
	if status := r.post(t, pathEnrol, "", installer.Enrol{Token: token, Host: "n1", Request: proof}, nil); status != 200 {
		t.Fatalf("enrol: status %d", status)
	}
	r.pass(enrolWithin + time.Hour) // a configuration may take days to be mended
	for _, q := range []installer.Status{
		{Token: token, Host: "n1", Request: proof, Lines: []string{"before"}},
		{Token: token, Host: "n1", Request: proof, Lines: []string{"after"}, Done: true},
	} {
		if status := r.post(t, pathStatus, "", q, nil); status != 200 {
			t.Errorf("status report: status %d, want 200", status)
		}
	}
	if got := r.logged(t, mac1, 2); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("lines = %q, want both", got)
	}
	if got := r.events(t, mac1, host.KindProgress); len(got) != 1 || !strings.Contains(got[0], "first boot is done") {
		t.Errorf("progress = %q, want the end of the first boot", got)
	}
	for name, test := range map[string]struct {
		q    installer.Status
		want int
	}{
		"a wrong token":                {installer.Status{Token: newToken(), Host: "n1", Request: proof}, 403},
		"an unknown host":              {installer.Status{Token: token, Host: "n2", Request: proof}, 403},
		"a stolen token, another key":  {installer.Status{Token: token, Host: "n1", Request: request(t, newKey(t), named("n1"))}, 403},
		"a stolen token, no key":       {installer.Status{Token: token, Host: "n1"}, 400},
		"its key for another's status": {installer.Status{Token: token, Host: "n1", Request: request(t, key, named("n2"))}, 400},
	} {
		test.q.Lines = []string{"spoof"}
		if status := r.post(t, pathStatus, "", test.q, nil); status != test.want {
			t.Errorf("%s: status %d, want %d", name, status, test.want)
		}
	}
	if got := r.logged(t, mac1, 2); len(got) != 2 {
		t.Errorf("lines = %q, want nobody else's", got)
	}
	if got := r.Members.(*members).heard; !slices.Equal(got, []string{"n1", "n1"}) {
		t.Errorf("heard %q, want its two reports and nobody else's", got)
	}
}

func TestParseRequest(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := request(t, newKey(t), named("n1"))
	block, _ := pem.Decode([]byte(good))
	forged := slices.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1
	with := func(f func(*x509.CertificateRequest)) string {
		q := named("n1")
		f(&q)
		return request(t, newKey(t), q)
	}
	for _, tt := range []struct{ name, request, fault string }{
		{"as the first boot makes it", good, ""},
		{"without alternative names", with(func(q *x509.CertificateRequest) { q.DNSNames = nil }), ""},
		{"Ed25519", request(t, edKey, named("n1")), ""},
		{"RSA", request(t, rsaKey, named("n1")), ""},
		{"a weak curve", request(t, p224, named("n1")), "too weak"},
		{"another name", request(t, newKey(t), named("n2")), `for "n2"`},
		{"a second name", with(func(q *x509.CertificateRequest) { q.DNSNames = []string{"n1", "server.global.nomad"} }), "more than"},
		{"an address", with(func(q *x509.CertificateRequest) { q.IPAddresses = []net.IP{{10, 0, 0, 1}} }), "more than"},
		{"a mail address", with(func(q *x509.CertificateRequest) { q.EmailAddresses = []string{"root@n1"} }), "more than"},
		{"a URI", with(func(q *x509.CertificateRequest) { q.URIs = []*url.URL{{Scheme: "spiffe", Host: "n1"}} }), "more than"},
		{"a signature by another key", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: forged})), "not signed"},
		{"two requests", good + good, "one certificate request"},
		{"no PEM", "n1", "PEM"},
		{"a certificate", strings.ReplaceAll(good, " REQUEST", ""), "PEM"},
		{"no request inside", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")})), "cannot be read"},
	} {
		_, err := parseRequest(tt.request, "n1")
		if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.fault)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(request(f, newKey(f), named("n1")))
	f.Add(request(f, newKey(f), x509.CertificateRequest{Subject: pkix.Name{CommonName: "n1"}, DNSNames: []string{"n2"}}))
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		q, err := parseRequest(text, "n1")
		if err == nil && (q.Subject.CommonName != "n1" || q.CheckSignature() != nil || len(q.IPAddresses) > 0) {
			t.Errorf("accepted %q", text)
		}
	})
}

func FuzzProtocol(f *testing.F) {
	r := newRig(f)
	r.admit(f, mac1, "n1", "")
	token := r.greet(f, mac1, secret1).Session
	for path, body := range map[string]string{
		pathHello:    `{"mac":"52:54:00:00:00:02","secret":"` + secret1 + `","inventory":{"disks":[{"serial":"S1","size":1}]}}`,
		pathGrant:    `{"secret":"x","uuid":"","disk":"S1"}`,
		pathReport:   `{"sequence":1,"progress":{"step":"a","done":-1},"lines":["` + "\u2028" + `"]}`,
		pathFinished: `{"seconds":1e308}`,
		pathFailed:   `{"step":"a","reason":null}`,
		pathEnrol:    `{"token":"","host":"n1","request":""}`,
		pathStatus:   `{"token":"","host":"n1","lines":[],"done":true}`,
	} {
		f.Add(path, token, body)
		f.Add(path, "525400000001.", body[:len(body)/2])
	}
	handler := r.Secure()
	f.Fuzz(func(t *testing.T, path, session, body string) {
		q, err := http.NewRequest(http.MethodPost, "https://a/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.URL.Path, q.RemoteAddr = path, "127.0.0.1:1"
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("Authorization", "Bearer "+session)
		w := &discard{header: http.Header{}}
		handler.ServeHTTP(w, q)
		if w.status >= 500 {
			t.Errorf("POST %s %q: status %d", path, body, w.status)
		}
	})
}
