package httpboot

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/installer"
	"provision.internal/lab/netboot"
)

const (
	auto1 = boot.AutoinstallPath + "52-54-00-00-00-01"
	nonce = "11111111-2222-4333-8444-555555555555"
)

// carried gives the server a NETBOOT image whose autoinstaller carries an agent
// that is a script.
func (r *rig) carried(t testing.TB, agent string) {
	r.HTTP = r.plain.URL
	sha := r.Images.(folder).put(t, []byte(agent))
	r.Autoinstall = func(h host.Host) (Autoinstall, error) {
		return Autoinstall{Script: installer.Carrier{
			Host: h.Name, URL: boot.AutoinstallURL(r.HTTP, h.MAC), Agent: boot.ImageURL(r.HTTP, sha, "provision-agent"), SHA256: sha,
			Overlay: `{"url": "https://10.77.0.1"}`, CA: "it's public\n",
		}.Script()}, nil
	}
}

// byShell gives it one whose autoinstaller does the work itself.
func (r *rig) byShell() {
	r.Autoinstall = func(host.Host) (Autoinstall, error) { return Autoinstall{Script: "# shell\n", Shell: true}, nil }
}

// power starts a NETBOOT image on a machine.
func (r *rig) power(t *testing.T, m *netboot.Machine) netboot.Run {
	t.Helper()
	return r.boot(t, m, r.plain.URL+auto1)
}

func (r *rig) boot(t *testing.T, m *netboot.Machine, autourl string) netboot.Run {
	t.Helper()
	m.Dir = t.TempDir()
	m.Cmdline = "provision.mac=52-54-00-00-00-01 auto autourl=" + autourl + " root=vai panic=60"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run, err := m.Start(ctx)
	if errors.Is(err, netboot.ErrNotRoot) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// touched lists the calls that write to a disk.
func touched(run netboot.Run) []string {
	return slices.DeleteFunc(slices.Clone(run.Calls), func(c string) bool {
		return !slices.ContainsFunc([]string{"sfdisk", "mkfs", "mkswap", "mount", "xbps-install"}, func(p string) bool { return strings.HasPrefix(c, p) })
	})
}

const someDisk = `{"blockdevices": [{"name": "sda", "type": "disk", "size": 8589934592}]}`

// The contract with upstream's autoinstaller: whatever happens, its init does
// not end, it writes to no disk of its own choice, and the appliance hears of it.
func TestAutoinstallCarriesTheAgent(t *testing.T) {
	const works = "#!/bin/sh\necho \"agent $*: $(cat /etc/provision/agent.json) $(cat /etc/provision/ca.pem)\" >>/test/calls\nexit "
	const agentRuns = `agent carried: {"url": "https://10.77.0.1"} it's public`
	for _, tt := range []struct {
		name   string
		agent  string
		fail   []string
		set    func(t *testing.T, r *rig)
		runs   bool   // the agent
		shell  bool   // somebody at the console is asked
		notice string // of the host
	}{
		{name: "an admitted host", agent: works + "0\n", runs: true},
		{name: "an agent that gives up", agent: works + "3\n", runs: true, shell: true},
		{name: "an agent that is killed", agent: strings.TrimSuffix(works, "exit ") + "kill -9 $$\n", runs: true, shell: true},
		{name: "an agent that cannot be started", agent: "\x7fELF, but for another machine", shell: true},
		{name: "a network that fails", agent: works + "0\n", fail: []string{"xbps-uhelper fetch */image/*"}, shell: true, notice: "the agent could not be fetched"},
		{name: "an image without digest", agent: works + "0\n", fail: []string{"xbps-uhelper digest *"}, shell: true, notice: "the agent could not be fetched"},
		{name: "another agent than was meant", agent: works + "0\n", shell: true, notice: "is not the one that was meant", set: func(t *testing.T, r *rig) {
			sha := r.Images.(folder).put(t, []byte("#!/bin/sh\necho evil >>/test/calls\n"))
			before := r.Autoinstall
			r.Autoinstall = func(h host.Host) (Autoinstall, error) {
				a, err := before(h)
				a.Script = strings.ReplaceAll(a.Script, r.HTTP+boot.ImagePath, r.HTTP+boot.ImagePath+sha+"/")
				a.Script = strings.ReplaceAll(a.Script, sha+"/", sha+"/x?")
				return a, err
			}
		}},
		{name: "an expired grant", agent: works + "0\n", set: func(t *testing.T, r *rig) { r.pass(2 * time.Hour) }},
		{name: "a store that cannot be read", agent: works + "0\n", set: func(t *testing.T, r *rig) { r.Hosts = brokenHosts{r.Hosts} }},
		{name: "a configuration that cannot be made", agent: works + "0\n", notice: "it cannot be installed: no role", set: func(t *testing.T, r *rig) {
			r.Autoinstall = func(host.Host) (Autoinstall, error) { return Autoinstall{}, errors.New("no role") }
		}},
		{name: "no NETBOOT image any more", agent: works + "0\n", set: func(t *testing.T, r *rig) { r.Autoinstall = nil }},
	} {
		for _, shell := range []string{"busybox", "dash"} {
			t.Run(tt.name+", "+shell, func(t *testing.T) {
				r := newRig(t)
				r.carried(t, tt.agent)
				r.admit(t, mac1, "n1", "")
				if tt.set != nil {
					tt.set(t, r)
				}
				run := r.power(t, &netboot.Machine{Shell: shell, Fail: tt.fail, Disks: someDisk})
				t.Logf("calls:\n%s\nconsole:\n%s", strings.Join(run.Calls, "\n"), run.Console)
				if run.End != netboot.Restarted || len(touched(run)) > 0 {
					t.Errorf("it ended by %q with %q, want a restart and no disk touched", run.End, touched(run))
				}
				if slices.Contains(run.Calls, agentRuns) != tt.runs || slices.Contains(run.Calls, "evil") {
					t.Errorf("the agent runs: %v, want %v", !tt.runs, tt.runs)
				}
				if slices.Contains(run.Calls, "an operator works here") != tt.shell {
					t.Errorf("an operator gets a shell: %v, want %v", !tt.shell, tt.shell)
				}
				if notices := r.events(t, mac1, host.KindNotice); !strings.Contains(strings.Join(notices, "\n"), tt.notice) {
					t.Errorf("the notices are %q, want %q among them", notices, tt.notice)
				}
			})
		}
	}
}

// A host that nothing may be installed on gets a configuration that says so:
// without one upstream's defaults would wipe its first disk.
func TestAutoinstallNothing(t *testing.T) {
	for name, set := range map[string]func(r *rig){
		"unknown": func(*rig) {},
		"used": func(r *rig) {
			r.admit(t, mac1, "n1", "")
			r.take(t, mac1, secret1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.carried(t, "#!/bin/sh\necho agent >>/test/calls\n")
			set(r)
			run := r.power(t, &netboot.Machine{Disks: someDisk})
			if run.End != netboot.Restarted || len(touched(run)) > 0 || slices.Contains(run.Calls, "agent") {
				t.Errorf("it ended by %q: %q", run.End, run.Calls)
			}
			if !strings.Contains(run.Console, "nothing is to be installed") {
				t.Errorf("its console says %q", run.Console)
			}
		})
	}
}

// word asks below the host's autoinstall URL.
func (r *rig) word(t testing.TB, word string, pairs ...string) (int, string) {
	t.Helper()
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return r.fetch(t, auto1+"/"+word+"?"+q.Encode())
}

// takes asks for the grant as the script of this boot.
func (r *rig) takes(t testing.TB, nonce, uuid, disk string) int {
	t.Helper()
	status, text := r.word(t, installer.AutoinstallTake, "nonce", nonce, "uuid", uuid, "disk", disk)
	if (status == http.StatusOK) != (text == "granted\n") {
		t.Errorf("status %d with %q", status, text)
	}
	return status
}

// The grant's rules are the agent's: once, for this machine and this disk, in its
// time, durable before it is answered; and only where no agent is meant.
func TestTakeByShell(t *testing.T) {
	const another = "99999999-2222-4333-8444-555555555555"
	for _, tt := range []struct {
		name string
		set  func(r *rig)
		want int
	}{
		{"an admitted host", func(*rig) {}, http.StatusOK},
		{"the same boot once more", func(r *rig) { r.takes(t, nonce, "", "S1") }, http.StatusOK},
		{"another boot", func(r *rig) { r.takes(t, another, "", "S1") }, http.StatusForbidden},
		{"another disk", func(r *rig) {
			r.put(t, mac1, func(h *host.Host) error { h.Grant.Disk = "S2"; return nil })
		}, http.StatusForbidden},
		{"another machine", func(r *rig) {
			r.put(t, mac1, func(h *host.Host) error { h.UUID = uuid2; return nil })
		}, http.StatusForbidden},
		{"an expired grant", func(r *rig) { r.pass(2 * time.Hour) }, http.StatusForbidden},
		{"an agent's grant", func(r *rig) { r.carried(t, "") }, http.StatusForbidden},
		{"no NETBOOT image", func(r *rig) { r.Autoinstall = nil }, http.StatusForbidden},
		{"another address", func(r *rig) {
			r.put(t, mac1, func(h *host.Host) error { h.Address = other; return nil })
		}, http.StatusForbidden},
		{"after its end", func(r *rig) {
			r.takes(t, nonce, "", "S1")
			r.word(t, installer.AutoinstallDone, "nonce", nonce)
		}, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.byShell()
			r.admit(t, mac1, "n1", "")
			tt.set(r)
			before := r.get(t, mac1)
			if got := r.takes(t, nonce, uuid1.String(), "S1"); got != tt.want {
				t.Fatalf("take: status %d, want %d", got, tt.want)
			}
			h := r.get(t, mac1)
			if tt.want != http.StatusOK {
				if h.State != before.State || h.Grant.Burned != before.Grant.Burned {
					t.Errorf("a refusal changed %s to %s", before.State, h.State)
				}
				return
			}
			if h.State != host.Installing || h.Grant.Open(r.clock()) || h.Grant.Disk != "S1" || !h.ByHand {
				t.Errorf("the host is %+v with the grant %+v", h, h.Grant)
			}
		})
	}
}

func TestTakeByShellRefusesNonsense(t *testing.T) {
	r := newRig(t)
	r.byShell()
	r.admit(t, mac1, "n1", "")
	for _, tt := range []struct {
		path string
		want int
	}{
		{auto1 + "/take", http.StatusBadRequest},
		{auto1 + "/take?disk=S1&nonce=short", http.StatusBadRequest},
		{auto1 + "/take?disk=&nonce=" + nonce, http.StatusBadRequest},
		{auto1 + "/take?disk=%1b%5b2J&nonce=" + nonce, http.StatusBadRequest},
		{auto1 + "/dance", http.StatusNotFound},
		{boot.AutoinstallPath + "nonsense", http.StatusBadRequest},
		{boot.AutoinstallPath + "nonsense/take", http.StatusBadRequest},
		{boot.AutoinstallPath + "52-54-00-00-00-02/take?disk=S1&nonce=" + nonce, http.StatusNotFound},
	} {
		if got, _ := r.fetch(t, tt.path); got != tt.want {
			t.Errorf("GET %s: status %d, want %d", tt.path, got, tt.want)
		}
	}
	q, err := http.NewRequest(http.MethodHead, r.plain.URL+auto1+"/take?disk=S1&nonce="+nonce, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := do(t, q); status != http.StatusMethodNotAllowed {
		t.Errorf("HEAD: status %d", status)
	}
	r.wantState(t, mac1, host.Admitted)
}

// A script's words change only the install that it began.
func TestShellTells(t *testing.T) {
	r := newRig(t)
	r.byShell()
	r.admit(t, mac1, "n1", "")
	if status, _ := r.word(t, installer.AutoinstallFailed, "step", "disk", "reason", "several fit:\nsda\nsdb\x1b"); status != http.StatusOK {
		t.Errorf("failed before the grant: status %d", status)
	}
	r.wantState(t, mac1, host.Admitted)
	if got := r.events(t, mac1, host.KindNotice); len(got) != 1 || !strings.Contains(got[0], "step disk: several fit: | sda | sdb") {
		t.Errorf("the notices are %q", got)
	}
	for _, word := range []string{installer.AutoinstallDone, installer.AutoinstallStep} {
		if status, _ := r.word(t, word, "nonce", nonce, "step", "x"); status != http.StatusForbidden {
			t.Errorf("%s before the grant: status %d", word, status)
		}
	}
	r.takes(t, nonce, "", "S1")
	for _, word := range []string{installer.AutoinstallDone, installer.AutoinstallStep, installer.AutoinstallFailed} {
		if status, _ := r.word(t, word, "nonce", "of-another-machine-or-boot", "step", "x"); status != http.StatusForbidden {
			t.Errorf("%s of another boot: status %d", word, status)
		}
	}
	r.wantState(t, mac1, host.Installing)
	r.word(t, installer.AutoinstallStep, "nonce", nonce, "step", "packages")
	if got := r.get(t, mac1).Progress.Step; got != "packages" {
		t.Errorf("the step is %q", got)
	}
	for range 2 { // an answer may get lost
		if status, _ := r.word(t, installer.AutoinstallDone, "nonce", nonce); status != http.StatusOK {
			t.Errorf("done: status %d", status)
		}
	}
	h := r.get(t, mac1)
	if h.State != host.Installed || !h.Arrived() || !h.Deadline.IsZero() {
		t.Errorf("at its end the host is %s until %s", h.State, h.Deadline)
	}
	r.word(t, installer.AutoinstallFailed, "nonce", nonce, "step", "x", "reason", "late")
	r.wantState(t, mac1, host.Installed)
	r.admit(t, mac1, "n1", "")
	if r.get(t, mac1).ByHand {
		t.Error("a host that is admitted anew is still by hand")
	}
}

func TestShellFails(t *testing.T) {
	r := newRig(t)
	r.byShell()
	r.admit(t, mac1, "n1", "")
	r.takes(t, nonce, "", "S1")
	r.word(t, installer.AutoinstallFailed, "nonce", nonce, "step", "packages", "reason", "no such package")
	h := r.get(t, mac1)
	if h.State != host.Failed || !strings.Contains(h.Failure.Reason, "step packages: no such package") || !strings.Contains(h.Failure.Reason, "provision reinstall n1") {
		t.Errorf("the host is %s: %+v", h.State, h.Failure)
	}
	if status := r.takes(t, nonce, "", "S1"); status != http.StatusForbidden {
		t.Errorf("take after the failure: status %d", status)
	}
}
