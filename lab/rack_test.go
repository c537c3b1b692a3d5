package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
)

// testRack is a rack that is up for one test.
func testRack(t *testing.T) *Rack {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	base, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	r, err := Open(base, fmt.Sprintf("t%d", os.Getpid()), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Down(context.WithoutCancel(t.Context()), true); err != nil {
			t.Error(err)
		}
	})
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUpAndDownMayBeRepeated(t *testing.T) {
	r := testRack(t)
	ctx := t.Context()
	if _, err := r.AddNeighbour(ctx, "other", "10.77.0.2"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Up(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Start("sleeper", r.Dir, nil, r.Inside("sleep", "1000")...); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Down(ctx, false); err != nil {
			t.Fatal(err)
		}
		if r.Running("sleeper") {
			t.Error("the sleeper survived Down")
		}
		if left, _ := filepath.Glob("/run/netns/" + r.namespace() + "*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// A record may outlive its process, and the number may then be anybody's.
func TestDownSparesAStrangerWithARecordedNumber(t *testing.T) {
	r := testRack(t)
	stranger := exec.Command("sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stranger.Process.Kill()
		stranger.Wait()
	}()
	if err := os.MkdirAll(r.path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	record := r.path("run", "old"+recordSuffix)
	if err := os.WriteFile(record, fmt.Appendf(nil, "%d 12345\n", stranger.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Down(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, ended, err := startOf(stranger.Process.Pid); err != nil || ended {
		t.Error("Down ended a process that is not the rack's")
	}
	if exists(record) {
		t.Error("the stale record is still there")
	}
}

func TestOpenRefusesBadNames(t *testing.T) {
	for _, name := range []string{"", "A", "a b", "a.b", "../x", strings.Repeat("a", 32)} {
		if _, err := Open("/tmp", name, testLog(t)); err == nil {
			t.Errorf("Open(%q) = nil error, want a refusal", name)
		}
	}
}

// The kernel has 108 bytes for the path of a unix socket.
func TestSocketsFitWhereverTheRackIs(t *testing.T) {
	r, err := Open("/tmp/"+strings.Repeat("d", 200), strings.Repeat("n", 31), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{r.Socket(), r.consoleSocket("machine-123"), r.monitorSocket("machine-123")} {
		if len(path) >= 108 {
			t.Errorf("%s has %d bytes, too many for a socket", path, len(path))
		}
	}
}

func TestAddRefusesWhatCannotBeBuilt(t *testing.T) {
	r := testRack(t)
	for want, m := range map[string]Machine{
		"cannot name a machine": {Name: "Bad"},
		"needs UEFI":            {Name: "a", Firmware: BIOS, HTTP: true},
		"disk \"tape\"":         {Name: "a", Disk: "tape"},
		"no SATA controller":    {Name: "a", Firmware: ARM64, Disk: SATA},
		"firmware \"coreboot\"": {Name: "a", Firmware: "coreboot"},
	} {
		if _, err := r.Add(t.Context(), m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Add(%+v) = %v, want %q in it", m, err, want)
		}
	}
}

// The probe's guest must be right, or a working KVM would count as absent: it
// has to come to its end under emulation, which works everywhere.
func TestProbeGuestRunsUnderEmulation(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("needs qemu-system-x86_64: make deps installs it")
	}
	ran, err := probeGuest(t.Context(), TCG)
	if err != nil || !ran {
		t.Errorf("probeGuest(TCG) = %v, %v, want true", ran, err)
	}
}

// A machine keeps what it is through the loss of power, and resets when asked.
func TestMachinePower(t *testing.T) {
	r := testRack(t)
	for _, need := range []string{"qemu-system-x86_64", "dnsmasq", biosROM} {
		if _, err := exec.LookPath(need); err != nil && !exists(need) {
			t.Skipf("needs %s: make deps installs it", need)
		}
	}
	ctx := t.Context()
	// The card's ROM need not wait in vain for an address, a proxy and an IPv6 router.
	if err := r.ip(ctx, "addr add fd77::1/64 dev "+bridge+" nodad"); err != nil {
		t.Fatal(err)
	}
	argv := r.Inside("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--port=0",
		"--dhcp-range=10.77.0.100,10.77.0.199", "--dhcp-leasefile="+r.path("leases"), "--no-ping", "--dhcp-option=encap:175,176,1b",
		"--enable-ra", "--dhcp-range=fd77::,ra-only,64", "--ra-param="+bridge+",0,0")
	if err := r.Start("dnsmasq", r.Dir, nil, argv...); err != nil {
		t.Fatal(err)
	}
	m, err := r.Add(ctx, Machine{Name: "m1", Firmware: BIOS, Disk: Virtio})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.DiskFile("m1"), helloSector(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(r.DiskFile("m1"), m.Size); err != nil {
		t.Fatal(err)
	}
	if err := r.PowerOn(ctx, "m1"); err != nil {
		t.Fatal(err)
	}
	waitConsole(t, r, "m1", "disk says hello", 1)
	if err := r.PowerOn(ctx, "m1"); err == nil {
		t.Error("PowerOn of a running machine succeeded")
	}
	if err := r.Reset(ctx, "m1"); err != nil {
		t.Fatal(err)
	}
	waitConsole(t, r, "m1", "disk says hello", 2)
	if err := r.PowerCycle(ctx, "m1"); err != nil {
		t.Fatal(err)
	}
	waitConsole(t, r, "m1", "disk says hello", 3)
	if err := r.PowerOff(ctx, "m1"); err != nil || r.Powered("m1") {
		t.Errorf("PowerOff: %v, powered %v", err, r.Powered("m1"))
	}
}

// helloSector is a boot sector that writes a line to the first serial port.
func helloSector() []byte {
	s := make([]byte, 512)
	copy(s, []byte{
		0xfc,       // cld
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd8, // mov ds, ax
		0xbe, 0x40, 0x7c, // mov si, 0x7c40
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xac,       // next: lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x03, // jz end
		0xee,       // out dx, al
		0xeb, 0xf8, // jmp next
		0xf4,       // end: hlt
		0xeb, 0xfd, // jmp end
	})
	copy(s[0x40:], "\r\ndisk says hello\r\n")
	s[510], s[511] = 0x55, 0xaa
	return s
}

func waitConsole(t *testing.T, r *Rack, name, want string, times int) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute) // only bounds a hang
	for {
		text, _ := os.ReadFile(r.ConsoleLog(name))
		if strings.Count(string(text), want) >= times {
			return
		}
		if time.Now().After(deadline) || !r.Powered(name) {
			lines, _ := LastLines(r.ConsoleLog(name), 30)
			t.Fatalf("the console never said %q %d times:\n%s", want, times, strings.Join(lines, "\n"))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Journeys end at Ready, and their phases have no gaps.
func TestPhasesAddUp(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	j := &Journey{PoweredOn: start, Seen: at(3), States: []Chapter{
		{State: host.Admitted, Since: at(5)}, {State: host.Installing, Since: at(9)}, {State: host.Ready, Since: at(20)},
	}}
	j.Host.State, j.Host.Since = host.Ready, at(20)
	var sum time.Duration
	for _, p := range j.Phases() {
		sum += p.Took
	}
	if sum != j.Took() || sum != 20*time.Second {
		t.Errorf("the phases take %v, the journey %v, want 20s", sum, j.Took())
	}
}

func TestConsoleMarks(t *testing.T) {
	for line, mark := range map[string]bool{
		"http://10.77.0.1/ipxe/52-54-00-ca-12-f3... ok":            scriptFetched.MatchString("http://10.77.0.1/ipxe/52-54-00-ca-12-f3... ok"),
		"- runit: enter stage: /etc/runit/2":                       systemRuns.MatchString("- runit: enter stage: /etc/runit/2"),
		"http://10.77.0.1/ipxe/52-54-00-ca-12-f3... no such thing": !scriptFetched.MatchString("http://10.77.0.1/ipxe/52-54-00-ca-12-f3... no such thing"),
	} {
		if !mark {
			t.Errorf("%q is taken for something else", line)
		}
	}
}

func TestLastLinesDropsControlSequences(t *testing.T) {
	f := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(f, []byte("one\n\x1b[2J\x1b[01;01Htwo\r\nthree\rfour\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := LastLines(f, 3)
	if want := "two three four"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("LastLines = %q, %v, want %q", got, err, want)
	}
}
