package agent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision.internal/host"
	"provision.internal/installer"
)

// testAgent is an agent on m that speaks with a.
func testAgent(t testing.TB, m *machine, a *appliance) *Agent {
	client, err := NewClient(a.URL, a.ca())
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(self, []byte("the agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Agent{System: m.system(), Client: client, Log: &Log{Console: t.Output()}, Version: "test", MAC: testMAC, Self: self}
}

func ready(t testing.TB) (*machine, *appliance, *Agent) {
	m, a := newMachine(t), newAppliance(t)
	m.addDisk("vda", "DISK1")
	return m, a, testAgent(t, m, a)
}

func TestInstallTellsItsStory(t *testing.T) {
	m, a, agent := ready(t)
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"hello", "grant", "finished"}, a.paths()); d != "" {
		t.Errorf("requests differ (-want +got):\n%s", d)
	}
	hello, grant := read[installer.Hello](a, "hello")[0], read[installer.TakeGrant](a, "grant")[0]
	if hello.MAC != testMAC || hello.Version != "test" || len(hello.Secret) < 20 || len(hello.Inventory.Disks) != 1 {
		t.Errorf("hello is %+v", hello)
	}
	if grant.Secret != hello.Secret || grant.Disk != "DISK1" {
		t.Errorf("the grant was asked for with %+v after hello with the secret %q", grant, hello.Secret)
	}
	for _, s := range a.shown() {
		if want := " Bearer session-1"; !strings.HasPrefix(s, "hello") && !strings.HasSuffix(s, want) {
			t.Errorf("the request %q has not the session %q", s, want)
		}
	}
	var steps, lines []string
	for i, r := range read[installer.Report](a, "report") {
		if r.Sequence != uint64(i+1) {
			t.Errorf("report %d has the sequence %d", i+1, r.Sequence)
		}
		if s := r.Progress.Step; s != "" && !slices.Contains(steps, s) {
			steps = append(steps, s)
		}
		lines = append(lines, r.Lines...)
	}
	for _, want := range []string{"this is node1; installing to the disk DISK1", "$ sfdisk --wipe always --wipe-partitions always /dev/vda", "unmount: write everything to the disk"} {
		if !slices.Contains(lines, want) {
			t.Errorf("no report has the line %q:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if steps[len(steps)-1] != "unmount" {
		t.Errorf("the last step told is %q", steps)
	}
	if words := m.get(lastWordsFile); !strings.Contains(words, "session-1") || !strings.Contains(words, "unmount") {
		t.Errorf("the supervisor would read %s", words)
	}
}

// Rule 2: the first write comes after the answer to the grant.
func TestNothingIsWrittenBeforeTheGrant(t *testing.T) {
	m, a, agent := ready(t)
	a.then("grant", func(http.ResponseWriter) bool {
		if done := m.done(); len(done) > 0 {
			t.Errorf("before the grant was answered: %q", done)
		}
		return false
	})
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(m.done()) == 0 {
		t.Error("nothing was installed")
	}
}

// Refusals before the grant is answered leave every disk alone, and end with a
// word to the appliance.
func TestRefusalsTouchNothing(t *testing.T) {
	for _, c := range []struct {
		name    string
		arrange func(*machine, *appliance)
		paths   []string
		want    string
	}{
		{"hello refused", func(_ *machine, a *appliance) { a.then("hello", refuse(403, "who are you")) },
			[]string{"hello"}, "who are you"},
		{"grant refused", func(_ *machine, a *appliance) { a.then("grant", refuse(403, "it was used")) },
			[]string{"hello", "grant", "failed"}, "it was used"},
		{"no session any more", func(_ *machine, a *appliance) { a.then("grant", refuse(401, "no session")) },
			[]string{"hello", "grant", "failed"}, "no session"},
		{"a plan for another disk", func(m *machine, a *appliance) { m.addDisk("vdb", "DISK2"); a.plan = testPlan("DISK2") },
			[]string{"hello", "grant", "failed"}, `for the disk "DISK2"`},
		{"a disk that is not there", func(_ *machine, a *appliance) { a.welcome.Disk = "GONE" },
			[]string{"hello", "failed"}, `no disk has the serial "GONE"`},
		{"a disk in use", func(m *machine, _ *appliance) { m.put("/proc/mounts", "/dev/vda / ext4 rw 0 0\n") },
			[]string{"hello", "failed"}, "is mounted on /"},
		{"an unknown action", func(_ *machine, a *appliance) { a.welcome.Action = "dance" },
			[]string{"hello", "failed"}, `"dance"`},
		{"the appliance says reboot", func(_ *machine, a *appliance) { a.welcome.Action = installer.ActionReboot },
			[]string{"hello"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, a, agent := ready(t)
			c.arrange(m, a)
			err := agent.Install(context.Background())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("Install = %v, want %q", err, c.want)
			}
			if done := m.done(); len(done) > 0 {
				t.Errorf("effects in spite of the refusal: %q", done)
			}
			if d := cmp.Diff(c.paths, a.paths()); d != "" {
				t.Errorf("requests differ (-want +got):\n%s", d)
			}
		})
	}
}

// An appliance that is killed at any request and comes back: the same install,
// with the same secret, and one end.
func TestNetworkFaultsAreRetried(t *testing.T) {
	for _, path := range []string{"hello", "grant", "report", "finished"} {
		for name, fault := range map[string]func(http.ResponseWriter) bool{
			"cut": cut, "503": refuse(503, "starting"), "429": refuse(429, "slow down"), "half an answer": func(w http.ResponseWriter) bool {
				w.Header().Set("Content-Length", "1000")
				_, err := w.Write([]byte(`{"session":`))
				return err == nil
			},
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				_, a, agent := ready(t)
				a.then(path, fault, fault, fault)
				if err := agent.Install(context.Background()); err != nil {
					t.Fatal(err)
				}
				if got := a.paths(); got[len(got)-1] != "finished" {
					t.Errorf("requests were %q", got)
				}
				secrets := map[string]bool{}
				for _, g := range read[installer.TakeGrant](a, "grant") {
					secrets[g.Secret] = true
				}
				if len(secrets) != 1 {
					t.Errorf("the grant was asked for with %d secrets", len(secrets))
				}
			})
		}
	}
}

// A report whose answer was lost comes again with its sequence and its content.
func TestReportsKeepTheirSequence(t *testing.T) {
	_, a, agent := ready(t)
	a.then("report", cut, cut)
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	reports := read[installer.Report](a, "report")
	for i := range 2 {
		if d := cmp.Diff(reports[0], reports[i+1]); d != "" {
			t.Errorf("repetition %d differs:\n%s", i+1, d)
		}
	}
	for i, r := range reports[2:] {
		if r.Sequence != uint64(i+1) {
			t.Errorf("report %d has the sequence %d", i, r.Sequence)
		}
	}
}

// An appliance that stays away is waited for, but not for ever.
func TestPatienceEnds(t *testing.T) {
	m, a, agent := ready(t)
	a.Close()
	err := agent.Install(context.Background())
	if err == nil || errors.Is(err, errReported) || !strings.Contains(err.Error(), "say hello") {
		t.Errorf("Install = %v, want the fault of hello", err)
	}
	if m.waited > patience || m.waited < patience/2 {
		t.Errorf("waited %s, want nearly %s", m.waited, patience)
	}
}

// A state that changed since hello means: ask again, with the same secret.
func TestChangedStateMeansHello(t *testing.T) {
	_, a, agent := ready(t)
	a.then("grant", refuse(409, "an operator changed the host"))
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"hello", "grant", "hello", "grant", "finished"}, a.paths()); d != "" {
		t.Errorf("requests differ (-want +got):\n%s", d)
	}
	if hellos := read[installer.Hello](a, "hello"); hellos[0].Secret != hellos[1].Secret {
		t.Error("the second hello has another secret")
	}
}

func TestWaiting(t *testing.T) {
	m, a, agent := ready(t)
	a.then("hello", say(installer.Welcome{Session: "s0", Action: installer.ActionWait, RetryAfter: 7}),
		say(installer.Welcome{Session: "s0", Action: installer.ActionWait, RetryAfter: 100000}),
		say(installer.Welcome{Session: "s0", Action: installer.ActionWait}))
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	if min := (7 + 60 + 1) * time.Second; m.waited < min || m.waited > min+10*time.Second {
		t.Errorf("waited %s, want %s and a little", m.waited, min)
	}
	if last := a.shown()[len(a.shown())-1]; last != "finished Bearer session-1" {
		t.Errorf("the last request was %q, want the last session", last)
	}
}

// A disk that its driver shows only after hello makes the choice a new one.
func TestLateDiskMeansHello(t *testing.T) {
	m, a, agent := ready(t)
	a.then("hello", func(http.ResponseWriter) bool { m.addDisk("vdb", "LATE"); return false })
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	hellos := read[installer.Hello](a, "hello")
	if len(hellos) != 2 || len(hellos[1].Inventory.Disks) != 2 {
		t.Errorf("hello was said %d times, the last with %+v", len(hellos), hellos[len(hellos)-1].Inventory.Disks)
	}
	if n := len(read[installer.TakeGrant](a, "grant")); n != 1 {
		t.Errorf("the grant was asked for %d times", n)
	}
}

// The appliance may have missed a disk that its driver shows only now: it hears
// of it at once, not at the end of the wait that it asked for.
func TestLateDiskEndsTheWait(t *testing.T) {
	m, a, agent := ready(t)
	a.then("hello", func(w http.ResponseWriter) bool {
		m.addDisk("vdb", "LATE")
		return say(installer.Welcome{Action: installer.ActionWait, RetryAfter: 60, Reason: "no disk has that serial"})(w)
	})
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(read[installer.Hello](a, "hello")); n != 2 || m.waited > 30*time.Second {
		t.Errorf("hello was said %d times in %s, want twice without the minute's wait", n, m.waited)
	}
}

// What was gathered while the network came up is told once; after that the
// machine is looked at again.
func TestFirstInventory(t *testing.T) {
	_, a, agent := ready(t)
	a.then("hello", say(installer.Welcome{Action: installer.ActionWait}))
	agent.First = &host.Inventory{Vendor: "gathered before"}
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	hellos := read[installer.Hello](a, "hello")
	if hellos[0].Inventory.Vendor != "gathered before" || len(hellos[1].Inventory.Disks) != 1 {
		t.Errorf("hello was said with %+v, then %+v", hellos[0].Inventory, hellos[1].Inventory)
	}
}

// A clock that stands at its beginning lets no certificate be valid. It is set
// from the appliance's plain server, and only then.
func TestClockBeforeEveryCertificate(t *testing.T) {
	_, a, agent := ready(t)
	now, asked := time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC), 0
	agent.Client.HTTP.Transport.(*http.Transport).TLSClientConfig.Time = func() time.Time { return now }
	agent.Time = func(context.Context) error {
		now = time.Now()
		asked++
		return nil
	}
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"hello", "grant", "finished"}, a.paths()); d != "" || asked != 1 {
		t.Errorf("the time was asked for %d times; requests differ (-want +got):\n%s", asked, d)
	}
}

// A clock that is off by less is set from the answer to hello.
func TestClockFromHello(t *testing.T) {
	m, a, agent := ready(t)
	agent.Time = func(context.Context) error { return errors.New("no need to ask") }
	a.then("hello", func(w http.ResponseWriter) bool {
		w.Header().Set("Date", "Thu, 08 May 2031 07:08:09 GMT")
		return false
	})
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	if done := m.done(); len(done) == 0 || done[0] != "clock 2031-05-08T07:08:09Z" {
		t.Errorf("the first effect is not the clock's: %q", done)
	}
}

// The end of an install is told with its step, its reason, and before it the
// lines that led there.
func TestFailureIsReported(t *testing.T) {
	m, a, agent := ready(t)
	m.fail["mkfs.ext4"] = errors.New("exit status 1")
	a.then("failed", cut, refuse(500, "busy"))
	err := agent.Install(context.Background())
	if !errors.Is(err, errReported) {
		t.Fatalf("Install = %v, want a fault that the appliance knows", err)
	}
	failed := read[installer.Failed](a, "failed")
	if got := failed[len(failed)-1]; got.Step != "filesystems" || !strings.Contains(got.Reason, "exit status 1: its last words") {
		t.Errorf("failed is %+v", got)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !strings.Contains(strings.Join(a.bodies["report"], ""), "mkfs.ext4") {
		t.Error("no report shows the command that failed")
	}
}

func TestPanicIsReported(t *testing.T) {
	m, a, agent := ready(t)
	m.hooks["sfdisk"] = func() { panic("a fault of ours") }
	if err := agent.Install(context.Background()); !errors.Is(err, errReported) {
		t.Fatalf("Install = %v, want a fault that the appliance knows", err)
	}
	if f := read[installer.Failed](a, "failed"); len(f) != 1 || f[0].Step != "partition" || !strings.Contains(f[0].Reason, "a fault of ours") {
		t.Errorf("failed is %+v", f)
	}
}

// An install that is done is done, whether or not the appliance hears of it; the
// agent does not call it a failure.
func TestFinishedRefused(t *testing.T) {
	_, a, agent := ready(t)
	a.then("finished", refuse(409, "the host is Failed: it took too long"))
	err := agent.Install(context.Background())
	if err == nil || !strings.Contains(err.Error(), "installed, but") {
		t.Errorf("Install = %v, want that it is installed", err)
	}
	if got := a.paths(); slices.Contains(got, "failed") {
		t.Errorf("requests were %q", got)
	}
}

// Reports that nobody wants do not stop an install that may write.
func TestRefusedReportsAreGivenUp(t *testing.T) {
	_, a, agent := ready(t)
	a.then("report", refuse(409, "not now"))
	if err := agent.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(read[installer.Report](a, "report")); n != 1 {
		t.Errorf("%d reports after the refusal", n-1)
	}
}

// The last words speak for an agent that was killed.
func TestSpeakForTheDead(t *testing.T) {
	m, a, agent := ready(t)
	m.put(installer.OverlayFile, `{"url": "`+a.URL+`", "http": "http://none"}`)
	m.put(installer.OverlayCA, string(a.ca()))
	if err := speakForTheDead(m.system(), -9, ""); err == nil {
		t.Error("an agent that never said hello was spoken for")
	}
	if _, err := agent.hello(context.Background(), "secret", m.system().inventory(testMAC)); err != nil {
		t.Fatal(err)
	}
	agent.mark("packages")
	a.then("failed", cut)
	if err := speakForTheDead(m.system(), -9, "some\noutput"); err != nil {
		t.Fatal(err)
	}
	f := read[installer.Failed](a, "failed")
	got := f[len(f)-1]
	if got.Step != "packages" || !strings.Contains(got.Reason, "killed by signal 9") || !strings.Contains(got.Reason, "some output") {
		t.Errorf("failed is %+v", got)
	}
	if last := a.shown()[len(a.shown())-1]; last != "failed Bearer session-1" {
		t.Errorf("the request was %q", last)
	}
}
