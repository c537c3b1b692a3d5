package agent

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"provision.internal/installer"
)

// Only the pinned authority counts: a server with any other certificate gets
// neither the secret nor anything else.
func TestClientPinsTheAuthority(t *testing.T) {
	real, impostor := newAppliance(t), httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the impostor was spoken to")
	}))
	impostor.Config.ErrorLog = log.New(io.Discard, "", 0)
	impostor.StartTLS()
	defer impostor.Close()
	// httptest signs every server with one key; an authority that signed neither
	// stands for a machine that was given another appliance's initrd.
	for url, ca := range map[string]string{real.URL: otherCA, impostor.URL: otherCA} {
		client, err := NewClient(url, []byte(ca))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Post(context.Background(), "/x", struct{}{}, nil); err == nil || errors.Is(err, errFinal) {
			t.Errorf("Post = %v, want a fault of TLS, which an appliance that restarts may mend", err)
		}
	}
	if len(real.paths()) > 0 {
		t.Errorf("requests %q reached a server with another authority", real.paths())
	}
}

// otherCA is a certificate whose key nobody has.
const otherCA = `-----BEGIN CERTIFICATE-----
MIIBeDCCAR+gAwIBAgIUJ3L0R0UEiG7OrykH508Gu3lgfncwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHYW5vdGhlcjAeFw0yNjExMjMwMTMwMzFaFw00NjExMTgwMTMw
MzFaMBIxEDAOBgNVBAMMB2Fub3RoZXIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATAZe2nvBjrty5hpVjq19u7cXO3x5hQF/AMkBAn3aQtnLMix8PXG2CCLeM1F04X
2wMltkVg0s5Z2NB56RlRk5/To1MwUTAdBgNVHQ4EFgQUtIFBf4sKrnmd/dZ/MGBZ
3mRs6X4wHwYDVR0jBBgwFoAUtIFBf4sKrnmd/dZ/MGBZ3mRs6X4wDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiA6/aQ4QkU+1mcqcNUA0yhgf4/ip5Bn
SUKVqf1GneE6vQIgejKuGjtUfrah0Q0Oi87O3Ljsa7brE/c7UAAJk7eLhKE=
-----END CERTIFICATE-----
`

func TestNewClientRefuses(t *testing.T) {
	a := newAppliance(t)
	for name, c := range map[string]struct {
		url string
		ca  []byte
	}{
		"plain http":  {"http://10.0.0.1", a.ca()},
		"no URL":      {"", a.ca()},
		"no CA":       {a.URL, nil},
		"CA of trash": {a.URL, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")},
	} {
		if _, err := NewClient(c.url, c.ca); err == nil {
			t.Errorf("%s: NewClient succeeded", name)
		}
	}
}

// A redirect would carry the session to another server.
func TestClientFollowsNoRedirect(t *testing.T) {
	elsewhere := newAppliance(t)
	a := newAppliance(t)
	a.then("hello", func(w http.ResponseWriter) bool {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	})
	client, err := NewClient(a.URL, a.ca())
	if err != nil {
		t.Fatal(err)
	}
	client.SetSession("secret")
	if err := client.Post(context.Background(), installer.AgentPrefix+"hello", 1, nil); !errors.Is(err, errFinal) {
		t.Errorf("Post = %v, want a final refusal", err)
	}
	if len(elsewhere.paths()) > 0 {
		t.Error("the redirect was followed")
	}
}

func TestRefusals(t *testing.T) {
	a := newAppliance(t)
	client, err := NewClient(a.URL+"/", a.ca()) // a final slash does no harm
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]struct{ final, changed bool }{
		400: {final: true}, 401: {final: true}, 403: {final: true}, 404: {final: true}, 409: {final: true, changed: true}, 413: {final: true},
		408: {}, 429: {}, 500: {}, 502: {}, 503: {},
	} {
		a.then("x", refuse(status, "the reason"))
		err := client.Post(context.Background(), installer.AgentPrefix+"x", 1, nil)
		if errors.Is(err, errFinal) != want.final || changed(err) != want.changed || !strings.Contains(err.Error(), "the reason") {
			t.Errorf("status %d: %v, final %v, changed %v; want %+v", status, err, errors.Is(err, errFinal), changed(err), want)
		}
	}
	a.then("x", func(w http.ResponseWriter) bool { w.WriteHeader(502); return true })
	if err := client.Post(context.Background(), installer.AgentPrefix+"x", 1, nil); err == nil || !strings.Contains(err.Error(), "502 Bad Gateway") {
		t.Errorf("a proxy's refusal without a body: %v", err)
	}
}

func TestApplianceTime(t *testing.T) {
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	var date string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", date)
		w.Header().Set("Location", "http://elsewhere.invalid")
		w.WriteHeader(http.StatusFound)
	}))
	defer srv.Close()
	date = at.Format(http.TimeFormat)
	if got, err := applianceTime(context.Background(), srv.URL); err != nil || !got.Equal(at) {
		t.Errorf("applianceTime = %v, %v; want %v", got, err, at)
	}
	date = "yesterday"
	if got, err := applianceTime(context.Background(), srv.URL); err == nil {
		t.Errorf("applianceTime of no date = %v", got)
	}
}
