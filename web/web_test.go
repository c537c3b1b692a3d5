package web_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/cluster"
	"provision.internal/host"
	"provision.internal/store"
	"provision.internal/web"
)

var (
	mac1 = host.MAC{0x52, 0x54, 0, 0, 0, 1}
	mac2 = host.MAC{0x52, 0x54, 0, 0, 0, 2}
	mac3 = host.MAC{0x52, 0x54, 0, 0, 0, 3}
)

// appliance is a real store behind a real socket.
type appliance struct {
	*web.Client
	store *store.Store
	stop  func()
}

func start(t *testing.T, dir string, change func(*web.Server)) appliance {
	t.Helper()
	st, err := store.Open(filepath.Join(dir, "state"), map[host.State]time.Duration{host.Admitted: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := web.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &web.Server{
		Listener: l, Hosts: st, History: st,
		Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
		Images: func() []web.Image { return []web.Image{{Name: "snponly.efi", State: "ready"}} },
		Status: func() web.Status { return web.Status{Version: web.Version{Version: "v1"}, PID: os.Getpid()} },
		Roles:  []string{"storage", "worker"},
		Beat:   10 * time.Millisecond,
	}
	if change != nil {
		change(srv)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v, want nil after its context ended", err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	}
	t.Cleanup(stop)
	return appliance{&web.Client{Socket: socket, Silence: 5 * time.Second}, st, stop}
}

// seen makes a machine known, as DHCP does.
func (a appliance) seen(t *testing.T, macs ...host.MAC) {
	t.Helper()
	for _, mac := range macs {
		a.move(t, mac, func(h *host.Host) error { return advance(h, host.Seen) })
	}
}

func (a appliance) move(t *testing.T, mac host.MAC, f func(*host.Host) error) host.Host {
	t.Helper()
	h, err := a.store.Change(mac, "test", "", f)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// to brings a host through states, burning its grant where the table asks for it.
func (a appliance) to(t *testing.T, mac host.MAC, states ...host.State) {
	t.Helper()
	for _, st := range states {
		a.move(t, mac, func(h *host.Host) (err error) {
			switch st {
			case host.Installing:
				*h, _, err = h.Burn(host.Claim{Disk: "DISK1", Secret: "s"}, time.Now())
			case host.Failed:
				*h, err = h.Fail("broken", time.Now())
			default:
				err = advance(h, st)
			}
			return err
		})
	}
}

func advance(h *host.Host, to host.State) (err error) {
	*h, err = h.Advance(to, time.Now())
	return err
}

func wantCode(t *testing.T, err error, code web.Code, words ...string) {
	t.Helper()
	var refused *web.Error
	if !errors.As(err, &refused) || refused.Code != code {
		t.Fatalf("got error %v, want a refusal with code %q", err, code)
	}
	for _, w := range words {
		if !strings.Contains(refused.Message, w) {
			t.Errorf("refusal %q does not say %q", refused.Message, w)
		}
	}
}

func TestEnrollMakesOneGrantOnly(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	a.seen(t, mac1)
	req := web.Enroll{Name: "node1", MAC: mac1, Role: "worker"}
	first, err := a.Enroll(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	h := first.Host
	if !first.Changed || h.State != host.Admitted || h.Name != "node1" || h.Role != "worker" {
		t.Fatalf("Enroll = %+v, want a changed host that is Admitted as node1, worker", first)
	}
	if g := h.Grant; !g.Open(time.Now()) || !strings.HasPrefix(g.By, "operator:") || g.Foreign || g.Disk != "" {
		t.Errorf("grant = %+v, want an open one by an operator, for no certain disk", g)
	}
	again, err := a.Enroll(t.Context(), req)
	if err != nil || again.Changed || again.Host.Grant.ID != h.Grant.ID {
		t.Errorf("second Enroll = %+v, %v; want no change and the same grant %s", again, err, h.Grant.ID)
	}
	byName, err := a.Enroll(t.Context(), web.Enroll{Name: "node1"})
	if err != nil || byName.Changed || byName.Host.MAC != mac1 {
		t.Errorf("Enroll by name only = %+v, %v; want the host, unchanged", byName, err)
	}
	a.to(t, mac1, host.Installing, host.Installed, host.Booted, host.Joined, host.Configured, host.Ready)
	ready, err := a.Enroll(t.Context(), req)
	if err != nil || ready.Changed || ready.Host.State != host.Ready {
		t.Errorf("Enroll of a Ready host = %+v, %v; want it unchanged: asking twice must not wipe", ready, err)
	}
}

func TestEnrollConflictsNameWhatExists(t *testing.T) {
	a := start(t, t.TempDir(), func(s *web.Server) {
		s.Known = []web.Known{{Name: "core", MAC: mac3, Role: "storage", Disk: "COREDISK"}}
	})
	a.seen(t, mac1, mac2)
	enroll := func(req web.Enroll) error {
		_, err := a.Enroll(t.Context(), req)
		return err
	}
	if err := enroll(web.Enroll{Name: "node1", MAC: mac1, Role: "worker"}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, enroll(web.Enroll{Name: "node1", MAC: mac2, Role: "worker"}), web.CodeConflict, "node1", mac1.String(), "Admitted")
	wantCode(t, enroll(web.Enroll{Name: "node2", MAC: mac1, Role: "worker"}), web.CodeConflict, "node1", "retire")
	wantCode(t, enroll(web.Enroll{Name: "node1", MAC: mac1, Role: "storage"}), web.CodeConflict, "worker", "reinstall")
	wantCode(t, enroll(web.Enroll{Name: "core", MAC: mac2}), web.CodeConflict, mac3.String())
	wantCode(t, enroll(web.Enroll{Name: "other", MAC: mac3}), web.CodeConflict, "core")
	wantCode(t, enroll(web.Enroll{Name: "node9", MAC: mac2, Role: "king"}), web.CodeInvalid, "king", "storage, worker")
	wantCode(t, enroll(web.Enroll{Name: "node9", MAC: mac2}), web.CodeInvalid, "role")
	wantCode(t, enroll(web.Enroll{Name: "Node_9", MAC: mac2, Role: "worker"}), web.CodeInvalid, "Node_9")
	wantCode(t, enroll(web.Enroll{Name: "525400000002", MAC: mac2, Role: "worker"}), web.CodeInvalid, "525400000002")

	core, err := a.Enroll(t.Context(), web.Enroll{Name: "core"})
	if err != nil || core.Host.MAC != mac3 || core.Host.Role != "storage" || core.Host.Grant.Disk != "COREDISK" {
		t.Fatalf("Enroll of a configured host by name = %+v, %v; want its MAC, role and disk", core, err)
	}
	if core.Host.Grant.Foreign {
		t.Error("a disk that only the configuration names may be wiped although it carries foreign data")
	}
}

func TestEnrollPicksTheOnlyMachineSeen(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	_, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", Role: "worker"})
	wantCode(t, err, web.CodeInvalid, "no machine is Seen")
	a.seen(t, mac1, mac2)
	_, err = a.Enroll(t.Context(), web.Enroll{Name: "node1", Role: "worker"})
	wantCode(t, err, web.CodeInvalid, mac1.String(), mac2.String())
	if _, err := a.Enroll(t.Context(), web.Enroll{Name: "node2", MAC: mac2, Role: "worker"}); err != nil {
		t.Fatal(err)
	}
	r, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", Role: "worker"})
	if err != nil || r.Host.MAC != mac1 {
		t.Errorf("Enroll = %+v, %v; want the only machine left, %s", r, err, mac1)
	}
}

func TestNamingADiskAllowsForeignData(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	r, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac1, Role: "worker", Disk: "S123"})
	if err != nil {
		t.Fatal(err)
	}
	if g := r.Host.Grant; g.Disk != "S123" || !g.Foreign {
		t.Errorf("grant = %+v, want it for disk S123 whatever is on it", g)
	}
}

// An installer that finds several disks waits until an operator names one.
func TestNamingADiskLaterReplacesTheGrant(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	first, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac1, Role: "worker"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", Disk: "DISK1"})
	if err != nil || !r.Changed || r.Host.Grant.ID == first.Host.Grant.ID || r.Host.Grant.Disk != "DISK1" {
		t.Fatalf("Enroll with a disk = %+v, %v; want a new grant for it", r, err)
	}
	a.to(t, mac1, host.Installing)
	_, err = a.Enroll(t.Context(), web.Enroll{Name: "node1", Disk: "OTHER"})
	wantCode(t, err, web.CodeConflict, "DISK1", "OTHER", "reinstall")
}

func TestReinstallNeedsTheNameAndKeepsTheDisk(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	first, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac1, Role: "worker", Disk: "DISK1"})
	if err != nil {
		t.Fatal(err)
	}
	a.to(t, mac1, host.Installing)
	_, err = a.Reinstall(t.Context(), "node1", web.Reinstall{Confirm: "node1"})
	wantCode(t, err, web.CodeState, "being installed")
	a.to(t, mac1, host.Installed, host.Booted, host.Joined, host.Configured, host.Ready)
	_, err = a.Reinstall(t.Context(), "node1", web.Reinstall{})
	wantCode(t, err, web.CodeInvalid, "confirm")
	if h, err := a.Host(t.Context(), "node1"); err != nil || h.State != host.Ready {
		t.Fatalf("after an unconfirmed request the host is %s (%v), want Ready", h.State, err)
	}
	r, err := a.Reinstall(t.Context(), "node1", web.Reinstall{Confirm: "node1"})
	if err != nil {
		t.Fatal(err)
	}
	g := r.Host.Grant
	if r.Host.State != host.Admitted || g.ID == first.Host.Grant.ID || g.Disk != "DISK1" || g.Foreign || !g.Open(time.Now()) {
		t.Errorf("after Reinstall: %s with grant %+v; want Admitted and a new open grant for the same disk, without leave for foreign data", r.Host.State, g)
	}
	_, err = a.Reinstall(t.Context(), "nobody", web.Reinstall{Confirm: "nobody"})
	wantCode(t, err, web.CodeUnknown, "nobody")
	a.seen(t, mac2)
	_, err = a.Reinstall(t.Context(), mac2.String(), web.Reinstall{Confirm: mac2.String()})
	wantCode(t, err, web.CodeState, "provision enroll")
}

// needing is a cluster that cannot do without a server.
type needing struct {
	web.Cluster
	founded *bool
}

func (n needing) Spare(_ context.Context, name string) error {
	if !*n.founded || name != "node1" {
		return nil
	}
	return fmt.Errorf("%w: %s is the only one", cluster.ErrNeeded, name)
}

func TestReinstallSparesTheServerThatTheClusterNeeds(t *testing.T) {
	founded := false
	a := start(t, t.TempDir(), func(s *web.Server) { s.Cluster = needing{founded: &founded} })
	for mac, name := range map[host.MAC]string{mac1: "node1", mac2: "node2"} {
		founded = false
		_, err := a.Enroll(t.Context(), web.Enroll{Name: name, MAC: mac, Role: "worker", Disk: "DISK1"})
		founded = true
		if err != nil {
			t.Fatal(err)
		}
		a.to(t, mac, host.Installing, host.Installed, host.Booted, host.Joined, host.Configured, host.Ready)
	}
	_, err := a.Reinstall(t.Context(), "node1", web.Reinstall{Confirm: "node1"})
	wantCode(t, err, web.CodeState, "node1 is the only one")
	if h, err := a.Host(t.Context(), "node1"); err != nil || h.State != host.Ready || h.Grant.Open(time.Now()) {
		t.Errorf("after the refusal the host is %s with grant %+v (%v), want Ready and no open grant", h.State, h.Grant, err)
	}
	if _, err := a.Reinstall(t.Context(), "node2", web.Reinstall{Confirm: "node2"}); err != nil {
		t.Error(err)
	}
	// The other way to a wiped disk.
	if _, err := a.Retire(t.Context(), "node1"); err != nil {
		t.Fatal(err)
	}
	_, err = a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac1, Role: "worker"})
	wantCode(t, err, web.CodeState, "node1 is the only one")
}

func TestRetiredHostGivesUpItsNameAndItsRights(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	if _, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac1, Role: "worker"}); err != nil {
		t.Fatal(err)
	}
	r, err := a.Retire(t.Context(), "node1")
	if err != nil || r.Host.State != host.Retired || r.Host.Grant != nil || r.Host.Name != "node1" {
		t.Fatalf("Retire = %+v, %v; want Retired, still called node1, without a grant", r, err)
	}
	if again, err := a.Retire(t.Context(), "node1"); err != nil || again.Changed {
		t.Errorf("second Retire = %+v, %v; want no change", again, err)
	}
	if _, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac2, Role: "worker"}); err != nil {
		t.Fatalf("Enroll another machine under a retired one's name: %v", err)
	}
	old, err := a.Host(t.Context(), mac1.String())
	if err != nil || old.Name != "" || old.State != host.Retired {
		t.Errorf("the retired host is %+v, %v; want it without its name", old, err)
	}
	back, err := a.Enroll(t.Context(), web.Enroll{Name: "node1b", MAC: mac1, Role: "storage"})
	if err != nil || !back.Changed || back.Host.Name != "node1b" || !back.Host.Grant.Open(time.Now()) {
		t.Errorf("Enroll of a retired host = %+v, %v; want it admitted with a new grant", back, err)
	}
}

func TestFailedHostGetsANewGrant(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	req := web.Enroll{Name: "node1", MAC: mac1, Role: "worker"}
	first, err := a.Enroll(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	a.to(t, mac1, host.Installing, host.Failed)
	r, err := a.Enroll(t.Context(), req)
	if err != nil || !r.Changed || r.Host.Grant.ID == first.Host.Grant.ID || !r.Host.Grant.Open(time.Now()) {
		t.Errorf("Enroll of a failed host = %+v, %v; want a new open grant", r, err)
	}
}

func TestHeldHostIsAdmittedOnlyAsANewMachine(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	a.move(t, mac1, func(h *host.Host) error {
		h.UUID, h.Held = host.UUID{1}, "its UUID has changed"
		return advance(h, host.Seen)
	})
	req := web.Enroll{Name: "node1", MAC: mac1, Role: "worker"}
	_, err := a.Enroll(t.Context(), req)
	wantCode(t, err, web.CodeConflict, "its UUID has changed", "--new-machine")
	req.NewMachine = true
	r, err := a.Enroll(t.Context(), req)
	if err != nil || r.Host.State != host.Admitted || r.Host.Held != "" || !r.Host.UUID.IsZero() {
		t.Errorf("Enroll as a new machine = %+v, %v; want it admitted, its old identity forgotten", r, err)
	}
}

func TestNoDigestLeavesTheDaemon(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	if _, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac1, Role: "worker"}); err != nil {
		t.Fatal(err)
	}
	a.to(t, mac1, host.Installing)
	a.move(t, mac1, func(h *host.Host) error {
		h.Session = &host.Session{Token: host.DigestOf("t")}
		h.Enrolment = &host.Enrolment{Token: host.DigestOf("t")}
		return nil
	})
	hosts, err := a.Hosts(t.Context())
	if err != nil || len(hosts) != 1 {
		t.Fatalf("Hosts = %v, %v; want one", hosts, err)
	}
	one, err := a.Host(t.Context(), "node1")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []host.Host{hosts[0], one} {
		if h.Session != nil || h.Enrolment != nil || h.Grant.Claim != (host.Digest{}) {
			t.Errorf("an operator's answer has session %v, enrolment %v, claim %v; want none", h.Session, h.Enrolment, h.Grant.Claim)
		}
	}
	kept, err := a.store.Host(mac1)
	if err != nil || kept.Session == nil || kept.Grant.Claim == (host.Digest{}) {
		t.Errorf("the store lost what the answer left out: %+v, %v", kept, err)
	}
}
