package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"provision.internal/nomad"
)

func TestFounding(t *testing.T) {
	t.Parallel()
	r := newRig(t, declared())
	r.site.Job = paramJob
	f := r.open(t)
	if f.Asked() || f.Founded() || !strings.Contains(f.Waits(), "cluster init") {
		t.Errorf("before anything: asked %v, founded %v, waits %q", f.Asked(), f.Founded(), f.Waits())
	}
	if _, err := f.ServerFiles("node1"); !errors.Is(err, ErrNotAsked) {
		t.Errorf("files of a server before the founding was asked for: %v, want ErrNotAsked", err)
	}
	if _, err := f.Plan(within(t)); !errors.Is(err, ErrNotFounded) {
		t.Errorf("a plan before the founding: %v, want ErrNotFounded", err)
	}
	ctx, cancel := context.WithCancel(within(t))
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	if err := f.Run(canceled(t)); err != nil {
		t.Errorf("Run of what nobody asked for: %v, want nil at the end of its context", err)
	}
	changed := f.Changed()
	if err := f.Ask(ctx, "operator"); err != nil {
		t.Fatal(err)
	}
	<-changed
	if err := <-ran; err != nil || !f.Founded() {
		t.Fatalf("Run: %v, founded %v: %s", err, f.Founded(), f.Waits())
	}
	cancel()
	p, err := f.Plan(within(t))
	if err != nil || !p.Empty() {
		t.Errorf("a second plan: %v, %v, want an empty one", p.Text(false), err)
	}
	if got := tokens(t, f); len(got) != 1 {
		t.Errorf("tokens %q, want one", got)
	}
	st, err := f.Status(within(t))
	if err != nil || st.State != StateFounded || st.Trouble != "" || st.Leader == "" || st.By != "operator" {
		t.Errorf("status %+v, %v", st, err)
	}

	// A second start finds all of it and changes nothing.
	again := r.open(t)
	if !again.Founded() {
		t.Error("a second start does not know that the cluster is founded")
	}
	before := r.site.Secrets.(*vault).kept
	if err := errors.Join(again.Ask(within(t), "somebody else"), again.Run(within(t))); err != nil {
		t.Fatal(err)
	}
	if st, _ := again.Status(within(t)); st.By != "operator" || len(tokens(t, again)) != 1 || len(before) != 4 {
		t.Errorf("after a second start: by %s, tokens %q, secrets %d", st.By, tokens(t, again), len(before))
	}
	r.noSecrets(t, again)
}

// noSecrets looks for every secret in all that the founder tells.
func (r *rig) noSecrets(t *testing.T, f *Founder) {
	t.Helper()
	st, _ := f.Status(within(t))
	p, _ := f.Plan(within(t))
	told, err := json.Marshal([]any{st, p, f.Waits(), fmt.Sprintf("%+v", st), p.Text(true), f.known()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{gossipSecret, bootstrapSecret, tokenSecret} {
		secret, err := r.site.Secrets.Unseal(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(told, secret) || bytes.Contains(r.log.Bytes(), secret) {
			t.Errorf("%s is told: %s\n%s", name, told, r.log)
		}
	}
}

// The power goes before each secret is sealed, and the answer to each call gets
// lost: a repeat ends in the same cluster with the same secret and one token.
func TestFoundingCutAnywhere(t *testing.T) {
	t.Parallel()
	for left := range 12 {
		t.Run(fmt.Sprintf("after %d seals", left), func(t *testing.T) {
			r := newRig(t, Config{})
			v := r.site.Secrets.(*vault)
			v.left = left
			f := r.open(t)
			err := f.Ask(within(t), "operator")
			if err == nil {
				err = f.found(within(t))
			}
			if err != nil && !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			v.left = -1
			secret := string(v.kept[bootstrapSecret])
			r.completes(t, secret)
		})
	}
}

func TestFoundingAnswersLost(t *testing.T) {
	t.Parallel()
	// The writes of a founding: bootstrap, policy, token; and what comes after it.
	for lost := range 12 {
		t.Run(fmt.Sprintf("call %d", lost), func(t *testing.T) {
			r := newRig(t, Config{})
			f := r.open(t)
			if err := f.Ask(within(t), "operator"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(within(t))
			// The call is carried out, its answer gets lost, and the appliance is killed.
			var n atomic.Int32
			f.access.Addresses = []string{r.between(t, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
				if int(n.Add(1))-1 != lost {
					next.ServeHTTP(w, req)
					return
				}
				next.ServeHTTP(httptest.NewRecorder(), req)
				cancel()
				panic(http.ErrAbortHandler)
			})}
			if err := f.connect(); err != nil {
				t.Fatal(err)
			}
			_ = f.found(ctx) // cut off, or not
			secret, err := f.BootstrapSecret()
			if err != nil {
				t.Fatal(err)
			}
			r.completes(t, secret)
		})
	}
}

// between serves as a server of the cluster does, and passes what comes to the
// simulator by way of do.
func (r *rig) between(t *testing.T, do func(http.ResponseWriter, *http.Request, http.Handler)) (url string) {
	t.Helper()
	l := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { do(w, req, r.sim) }))
	l.TLS = &tls.Config{Certificates: r.sim.TLS.Certificates}
	l.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	l.StartTLS()
	t.Cleanup(l.Close)
	return l.URL
}

// completes founds after a new start and compares what came of it.
func (r *rig) completes(t *testing.T, secret string) {
	t.Helper()
	f := r.open(t)
	if err := errors.Join(f.Ask(within(t), "operator"), f.found(within(t))); err != nil {
		t.Fatal(err)
	}
	if now, err := f.BootstrapSecret(); err != nil || (secret != "" && now != secret) {
		t.Errorf("the bootstrap secret became another: %v", err)
	}
	if got := tokens(t, f); len(got) != 1 {
		t.Errorf("tokens %q, want one", got)
	}
	if p, err := f.Plan(within(t)); err != nil || !p.Empty() {
		t.Errorf("a plan after the repeat: %s %v", p.Text(false), err)
	}
	if _, _, err := f.mine.Nodes().List(query(within(t))); err != nil {
		t.Errorf("the appliance's token: %v", err)
	}
}

func TestFoundingOfSomebodyElses(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	f := r.open(t)
	if _, _, err := f.open.ACLTokens().Bootstrap(write(within(t))); err != nil {
		t.Fatal(err)
	}
	if err := f.Ask(within(t), "operator"); err != nil {
		t.Fatal(err)
	}
	err := f.found(within(t))
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "management_token_file") {
		t.Errorf("founding a bootstrapped cluster: %v, want ErrForeign that says how to adopt", err)
	}
	if f.Founded() {
		t.Error("it counts as founded")
	}
}

func TestFoundingWaitsForALeader(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	r.sim.Depose()
	f := r.open(t)
	if err := f.Ask(within(t), "operator"); err != nil {
		t.Fatal(err)
	}
	if err := f.found(within(t)); err == nil || !strings.Contains(err.Error(), "No cluster leader") || f.Founded() {
		t.Errorf("without a leader: %v, founded %v", err, f.Founded())
	}
	if st, err := f.Status(within(t)); err != nil || st.State != StateFounding || !strings.Contains(st.Trouble, "No cluster leader") {
		t.Errorf("status %+v, %v", st, err)
	}
	r.sim.Mend()
	r.completes(t, "")
}

// A server that is not up yet is called by its name; what the network said of it is
// for the log, and for the status of a cluster that had its servers.
func TestFoundingWaitsForAServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "https://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := openAt(r.site, nobody)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Ask(within(t), "operator"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(within(t))
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	const want = "the servers have no leader yet: node1 at 127.0.0.1 does not answer yet"
	for {
		changed := f.Changed()
		if f.Waits() == want {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("it waits for %q, want %q", f.Waits(), want)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if text := r.log.String(); !strings.Contains(text, "connection refused") {
		t.Errorf("the log holds %q, want what the network said", text)
	}

	founded := r.open(t)
	if err := founded.found(within(t)); err != nil {
		t.Fatal(err)
	}
	if f, err = openAt(r.site, nobody); err != nil {
		t.Fatal(err)
	}
	if st, err := f.Status(within(t)); err != nil || !strings.HasSuffix(st.Trouble, ": node1 at 127.0.0.1 does not answer: connection refused") {
		t.Errorf("the status of a cluster whose server is gone: %+v, %v", st, err)
	}
}

func TestFoundingAtAnotherAuthority(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	r.site.Authority = testAuthority(t)
	f := r.open(t)
	if err := f.Ask(within(t), "operator"); err != nil {
		t.Fatal(err)
	}
	if err := f.found(within(t)); !errors.Is(err, nomad.ErrAuthority) {
		t.Errorf("a server of another authority: %v, want ErrAuthority", err)
	}
}

// A declared policy that Nomad refuses holds no host up.
func TestFoundingWithARefusedPolicy(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Policies: []Policy{{Name: "wrong", Rules: `namespace "*" { policy = "everything" }`}}})
	f := r.open(t)
	if err := f.Ask(within(t), "operator"); err != nil {
		t.Fatal(err)
	}
	if err := f.found(within(t)); err == nil || !strings.Contains(err.Error(), "create policy wrong") {
		t.Errorf("founding with a policy that is none: %v, want its name", err)
	}
	if !f.Founded() {
		t.Error("hosts are held up by it")
	}
}

func parse(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	c, err := parseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Tokens that an operator deletes: the appliance's is made again, the management
// token is asked for, and neither makes the cluster somebody else's.
func TestTokensThatWereDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	f := r.open(t)
	if err := errors.Join(f.Ask(within(t), "operator"), f.found(within(t))); err != nil {
		t.Fatal(err)
	}
	all, _, err := f.manage.ACLTokens().List(query(within(t)))
	if err != nil {
		t.Fatal(err)
	}
	remove := func(kind string) {
		for _, s := range all {
			if s.Type == kind {
				if _, err := f.manage.ACLTokens().Delete(s.AccessorID, write(within(t))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	old, _ := f.Token()
	remove("client")
	r.completes(t, "")
	if now, err := f.Token(); err != nil || now == old {
		t.Errorf("the token that was deleted was not replaced: %v", err)
	}
	remove("management")
	for what, err := range map[string]error{
		"founding again": f.found(within(t)),
		"a plan":         func() error { _, err := f.Plan(within(t)); return err }(),
	} {
		if err == nil || errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "cluster.management_token_file") {
			t.Errorf("%s: %v, want the key to set", what, err)
		}
	}
}
