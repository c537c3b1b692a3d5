package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"provision.internal/installer"
)

// supervised gives the machine's Nomad a runsv that listens, and returns what it
// was told.
func supervised(t *testing.T, m *machine) (told func() string) {
	t.Helper()
	control := filepath.Join(m.root, installer.ServiceDir, installer.NomadService, "supervise", "control")
	if err := os.MkdirAll(filepath.Dir(control), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(control, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(control, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func() string {
		if err := f.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 64)
		n, err := f.Read(b)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// The first stage enables Nomad, each further one starts it again.
func TestStagesRestartNomad(t *testing.T) {
	a := newAppliance(t)
	m, e := installed(t, a)
	told := supervised(t, m)
	before := ""
	a.then("status", func(http.ResponseWriter) bool { before = told(); return false })
	if err := e.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	checkEnrolled(t, m)
	if after := told(); before != "" || after != "tcu" {
		t.Errorf("runsv was told %q in quarantine and %q as a member, want nothing and a restart", before, after)
	}
}

// A fifo that nobody reads is left over from a boot whose runsv is gone: Nomad will
// read the new files when it is started.
func TestRestartWithoutRunsv(t *testing.T) {
	m := newMachine(t)
	e := enrolment(t, m)
	for range 2 { // enabled, and enabled before
		if err := e.startNomad(); err != nil {
			t.Fatal(err)
		}
	}
	control := filepath.Join(m.root, installer.ServiceDir, installer.NomadService, "supervise", "control")
	if err := os.MkdirAll(filepath.Dir(control), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(control, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.startNomad(); err != nil {
		t.Error(err)
	}
}

// Whatever a stage had written when the power went, the next boot completes it, and
// a stage that was not recorded is gone to again, with a restart.
func TestStageCutAtEachFile(t *testing.T) {
	files := append([]string{installer.HostCertificate, installer.HostCA}, "/etc/nomad.d/client.hcl", "/var/lib/nomad/client/intro_token.jwt")
	for cut := range len(files) + 3 {
		a := newAppliance(t)
		m, e := installed(t, a)
		quarantine, member := enrolled(installer.StageQuarantine), enrolled(installer.StageMember)
		if err := e.enter(quarantine); err != nil {
			t.Fatal(err)
		}
		all := []installer.File{{Path: files[0], Content: member.Certificate}, {Path: files[1], Content: member.CA}}
		all = append(all, member.Files...)
		for _, f := range all[:min(cut, len(all))] {
			m.put(f.Path, f.Content)
		}
		told := supervised(t, m)
		if cut > len(files) {
			if err := e.startNomad(); err != nil {
				t.Fatal(err)
			}
		}
		recorded := cut == len(files)+2
		if recorded {
			m.put(installer.StageFile, string(installer.StageMember)+"\n")
		}
		_ = told() // the boot starts everything anew
		if err := os.Chmod(filepath.Join(m.root, "/var/lib/nomad/client/intro_token.jwt"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := enrolment(t, m).Run(context.Background()); err != nil {
			t.Fatalf("cut after %d: %v", cut, err)
		}
		checkEnrolled(t, m)
		if got := told(); (got == "tcu") == recorded {
			t.Errorf("cut after %d: runsv was told %q", cut, got)
		}
		for i, q := range read[installer.Enrol](a, "host") {
			if i == 0 && q.Stage != installer.StageQuarantine {
				t.Errorf("cut after %d: it asked with stage %q", cut, q.Stage)
			}
		}
		if s := read[installer.Status](a, "status"); len(s) != 1 || !s[0].Done {
			t.Errorf("cut after %d: statuses %+v", cut, s)
		}
	}
}

// An appliance that has nothing new is asked again, not often, and what it waits
// for is told once.
func TestStageThatIsAwaited(t *testing.T) {
	a := newAppliance(t)
	m, e := installed(t, a)
	var words strings.Builder
	e.Log.Console = &words
	wait := say(installer.Enrolled{Waits: "run provision cluster init"})
	a.then("host", wait, wait, wait)
	if err := e.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	checkEnrolled(t, m)
	if n := strings.Count(words.String(), "run provision cluster init"); n != 1 {
		t.Errorf("what is waited for was told %d times: %s", n, &words)
	}
	if m.waited != 3*idlePause {
		t.Errorf("waited %s, want %s three times", m.waited, idlePause)
	}
}

// An appliance that cannot prove itself, and a clock by which it cannot, each have
// words of their own.
func TestEnrolExplains(t *testing.T) {
	a := newAppliance(t)
	err := explain(fmt.Errorf("ask the appliance: %w", x509.UnknownAuthorityError{}), a.URL)
	if !strings.Contains(err.Error(), "not the appliance that installed this host") {
		t.Errorf("another authority: %v", err)
	}
	err = explain(x509.CertificateInvalidError{Cert: a.Certificate(), Reason: x509.Expired}, a.URL)
	if !strings.Contains(err.Error(), "by this machine's clock") {
		t.Errorf("a wrong clock: %v", err)
	}
}
