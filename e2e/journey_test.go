package e2e

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/lab"
)

// TestRack is one rack's life. Its scenarios share machines and are told in
// order, because every install takes a minute under emulation.
func TestRack(t *testing.T) {
	r := newRig(t)
	r.startAppliance(t)
	nvme := lab.Machine{Name: "node1", Firmware: lab.UEFI, Disk: lab.NVMe}
	http := lab.Machine{Name: "node2", Firmware: lab.UEFI, HTTP: true, Disk: lab.Virtio}
	bios := lab.Machine{Name: "node3", Firmware: lab.BIOS, Disk: lab.SATA}
	var ready []lab.Machine

	ok := t.Run("UEFI PXE to Ready", func(t *testing.T) {
		j := r.enroll(t, nvme)
		if j == nil {
			return
		}
		r.checkJourney(t, j)
		m := r.machine(t, nvme.Name)
		if n := r.grants(t, m); n != 1 {
			t.Errorf("%d grants were taken, want 1", n)
		}
		ready = append(ready, m)
	})
	if !ok {
		t.Fatal("the first journey failed: the others would tell nothing new")
	}
	t.Run("a firmware that boots by HTTP and one with a BIOS, at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for _, m := range []lab.Machine{http, bios} {
			wg.Go(func() {
				if j := r.enroll(t, m); j != nil {
					r.checkJourney(t, j)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		h, b := r.machine(t, http.Name), r.machine(t, bios.Name)
		if r.consoleCount(t, h, "HTTP Boot over IPv4") == 0 || r.consoleCount(t, h, "Start PXE") != 0 {
			t.Errorf("%s did not boot by HTTP alone:\n%s", h.Name, r.lastWords(h.Name))
		}
		if r.consoleCount(t, b, "SeaBIOS") == 0 {
			t.Errorf("%s has no BIOS", b.Name)
		}
		ready = append(ready, h, b)
	})
	t.Run("the appliance is killed in the middle of an install", func(t *testing.T) {
		m := r.admit(t, lab.Machine{Name: "node4", Firmware: lab.BIOS, Disk: lab.NVMe})
		r.awaitStep(t, m, "packages")
		if err := r.Kill(t.Context(), lab.ProcessAppliance); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // the agent meets closed ports meanwhile
		r.startAppliance(t)
		r.awaitState(t, m, host.Ready)
		if n := r.grants(t, m); n != 1 {
			t.Errorf("%d grants were taken, want 1", n)
		}
		ready = append(ready, m)
	})
	t.Run("a machine loses its power in the middle of an install", func(t *testing.T) {
		m := r.admit(t, lab.Machine{Name: "node5", Firmware: lab.BIOS, Disk: lab.Virtio})
		r.awaitStep(t, m, "packages")
		if err := r.PowerCycle(t.Context(), m.Name); err != nil {
			t.Fatal(err)
		}
		h := r.await(t, m, "failed", func(h host.Host) bool { return h.State == host.Failed })
		if h.Failure.In != host.Installing || !strings.Contains(h.Failure.Reason, "reinstall") {
			t.Errorf("the failure is %+v, want one of Installing that says what to do", h.Failure)
		}
		// It may come back as often as it likes: its grant is used.
		if err := r.PowerCycle(t.Context(), m.Name); err != nil {
			t.Fatal(err)
		}
		r.awaitConsole(t, m, "/ipxe/", 2+r.consoleCount(t, m, "/ipxe/"))
		if n := r.grants(t, m); n != 1 {
			t.Errorf("%d grants were taken, want 1: it was wiped twice", n)
		}
		r.provision(t, "reinstall", m.Name, "--yes", "--no-wait")
		if err := r.PowerCycle(t.Context(), m.Name); err != nil {
			t.Fatal(err)
		}
		r.awaitState(t, m, host.Ready)
		if n := r.grants(t, m); n != 2 {
			t.Errorf("%d grants were taken, want 2", n)
		}
		ready = append(ready, m)
	})
	t.Run("the whole rack loses its power", func(t *testing.T) { r.blackout(t, ready) })
}

// checkJourney holds a host's way against the journey of package host, and the
// address of its firmware against that of its installed system.
func (r *rig) checkJourney(t *testing.T, j *lab.Journey) {
	t.Helper()
	if j.Offered.IsValid() && j.Host.Address != j.Offered {
		t.Errorf("%s was offered %s first and is Ready at %s", j.Host.Name, j.Offered, j.Host.Address)
	}
	argv := r.Inside("ping", "-c1", "-W5", "-n", j.Host.Address.String())
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%s is Ready and does not answer at %s: %v: %s", j.Host.Name, j.Host.Address, err, out)
	}
	var got []host.State
	for _, c := range j.States {
		got = append(got, c.State)
	}
	want := host.Journey()[1:] // Seen was before the admission
	if len(got) != len(want) {
		t.Errorf("%s went through %v, want %v", j.Host.Name, got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s went through %v, want %v", j.Host.Name, got, want)
			return
		}
	}
	if !j.Host.Address.IsValid() || j.Host.Node == "" {
		t.Errorf("%s is Ready without an address or a node: %+v", j.Host.Name, j.Host)
	}
}

// machine returns a machine of the rack with all its details.
func (r *rig) machine(t *testing.T, name string) lab.Machine {
	t.Helper()
	m, err := r.Machine(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// blackout takes the power from everything at once, looks at the disks, and
// gives it back: every host must come up from its own disk with the address it
// had, and nothing may be installed.
func (r *rig) blackout(t *testing.T, hosts []lab.Machine) {
	ctx := t.Context()
	grants, logins, before := map[string]int{}, map[string]int{}, map[string]host.Host{}
	for _, m := range hosts {
		grants[m.Name], logins[m.Name] = r.grants(t, m), r.consoleCount(t, m, m.Name+" login:")
		before[m.Name] = r.await(t, m, "known", func(host.Host) bool { return true })
	}
	for _, m := range hosts {
		if err := r.PowerOff(ctx, m.Name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{lab.ProcessAppliance, lab.ProcessNomad} {
		if err := r.Kill(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range hosts {
		r.openDisk(t, m).checkInstalled(m.Name)
	}
	if err := r.StartNomad(ctx, r.programs); err != nil {
		t.Fatal(err)
	}
	r.startAppliance(t)
	for _, m := range hosts {
		if err := r.PowerOn(ctx, m.Name); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range hosts {
		r.awaitConsole(t, m, m.Name+" login:", logins[m.Name]+1)
		now := r.await(t, m, "known", func(host.Host) bool { return true })
		if was := before[m.Name]; now.State != host.Ready || !now.Since.Equal(was.Since) || now.Address != was.Address {
			t.Errorf("%s is %s since %s at %s, was %s since %s at %s",
				m.Name, now.State, now.Since, now.Address, was.State, was.Since, was.Address)
		}
		if n := r.grants(t, m); n != grants[m.Name] {
			t.Errorf("%s took another grant after the blackout", m.Name)
		}
	}
}

// In proxy mode another server gives the addresses, and the appliance the boot
// files.
func TestBesideDnsmasq(t *testing.T) {
	r := newRig(t,
		"    dhcp: full\n    pool: {from: 10.77.0.100, to: 10.77.0.199}\n    lease: 1h\n    authoritative: true\n",
		"    dhcp: proxy\n")
	ctx := t.Context()
	inside, err := r.AddNeighbour(ctx, "dhcp", "10.77.0.2")
	if err != nil {
		t.Fatal(err)
	}
	argv := inside("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--port=0", "--no-ping",
		"--log-dhcp", "--log-facility=-", "--dhcp-authoritative", "--dhcp-range=10.77.0.50,10.77.0.90,1h",
		"--dhcp-leasefile="+r.Dir+"/dnsmasq.leases")
	if err := r.Start("dnsmasq", r.Dir, nil, argv...); err != nil {
		t.Fatal(err)
	}
	r.startAppliance(t)
	var wg sync.WaitGroup
	for _, m := range []lab.Machine{
		{Name: "node1", Firmware: lab.UEFI, Disk: lab.NVMe},
		{Name: "node2", Firmware: lab.BIOS, Disk: lab.Virtio},
	} {
		wg.Go(func() { r.enroll(t, m) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	leases, err := os.ReadFile(r.Dir + "/dnsmasq.leases")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node1", "node2"} {
		if m := r.machine(t, name); !strings.Contains(string(leases), m.MAC.String()) {
			t.Errorf("%s has no lease of dnsmasq's:\n%s", name, leases)
		}
	}
}
