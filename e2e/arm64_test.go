package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/lab"
)

// The examples' appliance has an installer for x86-64 alone, so arm64 machines
// are known, may be admitted, and always find their disk.
func TestARM64(t *testing.T) {
	for _, need := range []string{"qemu-system-aarch64", "tcpdump", "sfdisk", "mkfs.vfat", "mcopy"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skipf("needs %s: make deps installs it", need)
		}
	}
	r := newRig(t)
	wire := r.capture(t)
	r.startAppliance(t)

	pxe := r.addARM64(t, lab.Machine{Name: "arm1", Disk: lab.NVMe})
	r.helloDisk(t, pxe)
	script := "GET " + boot.GRUBPath + pxe.MAC.String() + " "

	t.Run("an unknown machine boots by PXE and GRUB from its disk", func(t *testing.T) {
		r.powerOn(t, pxe)
		r.awaitConsole(t, pxe, "disk says hello", 1)
		inOrder(t, wire(t),
			"ARCH (93), length 2: 11",
			`RRQ "arm64.efi"`,
			`RRQ "/`+boot.GRUBConfig+`"`,
			script,
		)
		h := r.await(t, pxe, "seen", func(h host.Host) bool { return h.State == host.Seen })
		if h.Platform != string(boot.UEFIarm64) {
			t.Errorf("its platform is %q, want %s", h.Platform, boot.UEFIarm64)
		}
	})
	t.Run("an admitted one too, with a notice that there is no installer", func(t *testing.T) {
		r.powerOff(t, pxe)
		r.provision(t, "enroll", pxe.Name, "--mac", pxe.MAC.String(), "--role", role, "--no-wait")
		r.powerOn(t, pxe)
		r.awaitConsole(t, pxe, "disk says hello", 2)
		if n := strings.Count(wire(t), script); n != 2 {
			t.Errorf("it asked for its script %d times in two boots, want 2", n)
		}
		var notices []string
		for _, e := range r.events(t, pxe) {
			if e.Kind == host.KindNotice {
				notices = append(notices, e.Cause)
			}
		}
		if len(notices) != 1 || !strings.Contains(notices[0], "no installer for "+string(boot.UEFIarm64)) {
			t.Errorf("notices = %q, want one that names the missing installer", notices)
		}
		if h := r.await(t, pxe, "known", func(h host.Host) bool { return h.State != "" }); h.State != host.Admitted {
			t.Errorf("it is %s, want %s still: the operator may add an image", h.State, host.Admitted)
		}
		r.powerOff(t, pxe)
	})
	t.Run("GRUB that came by HTTP finds its way, and leaves a machine with an empty disk", func(t *testing.T) {
		m := r.addARM64(t, lab.Machine{Name: "arm2", HTTP: true, Disk: lab.Virtio})
		r.powerOn(t, m)
		r.awaitConsole(t, m, "Booting from the disk", 1)
		// The firmware goes on by itself: EDK2 shows its menu.
		r.awaitConsole(t, m, `BdsDxe: starting Boot0000 "UiApp"`, 1)
		inOrder(t, wire(t),
			"ARCH (93), length 2: 19",
			"HEAD "+boot.LoaderPath+boot.Loader(boot.UEFIarm64)+" ",
			"GET "+boot.LoaderPath+boot.Loader(boot.UEFIarm64)+" ",
			"GET /"+boot.GRUBConfig+" ",
			"GET "+boot.GRUBPath+m.MAC.String()+" ",
		)
		if n := r.consoleCount(t, m, "Start PXE"); n != 0 {
			t.Errorf("it also tried PXE:\n%s", r.lastWords(m.Name))
		}
		r.powerOff(t, m)
	})
}

func (r *rig) addARM64(t *testing.T, m lab.Machine) lab.Machine {
	t.Helper()
	m.Firmware = lab.ARM64
	m, err := r.Add(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (r *rig) powerOn(t *testing.T, m lab.Machine) {
	t.Helper()
	if err := r.PowerOn(t.Context(), m.Name); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) powerOff(t *testing.T, m lab.Machine) {
	t.Helper()
	if err := r.PowerOff(t.Context(), m.Name); err != nil {
		t.Fatal(err)
	}
}

// capture writes down what goes over the rack's bridge to the appliance, and
// returns a function that reads it.
func (r *rig) capture(t *testing.T) func(t *testing.T) string {
	t.Helper()
	file := filepath.Join(r.Dir, "boot.pcap")
	argv := r.Inside("tcpdump", "--immediate-mode", "-U", "-Z", "root", "-i", "rack0", "-w", file, "udp dst port 67 or udp dst port 69 or tcp dst port 80")
	if err := r.Start("capture", r.Dir, nil, argv...); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) string {
		t.Helper()
		text, err := exec.Command("tcpdump", "-nn", "-v", "-r", file).Output()
		if err != nil {
			t.Fatalf("read the capture: %v", err)
		}
		return string(text)
	}
}

// inOrder checks that text holds every one of wants, each after the one before.
func inOrder(t *testing.T, text string, wants ...string) {
	t.Helper()
	rest := text
	for _, want := range wants {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Errorf("the wire does not show %q where it should be; in all:\n%s", want, text)
			return
		}
		rest = after
	}
}

// helloDisk makes the machine's disk one with an EFI system partition whose
// loader says hello: GRUB again, with a configuration beside it.
func (r *rig) helloDisk(t *testing.T, m lab.Machine) {
	t.Helper()
	const start = 1 << 20
	dir := t.TempDir()
	config, partition := filepath.Join(dir, "grub.cfg"), filepath.Join(dir, "esp")
	if err := os.WriteFile(config, []byte("echo 'disk says hello'\nsleep 3600\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	loader := filepath.Join("..", "images", "embedded", "files", boot.Loader(boot.UEFIarm64))
	for _, argv := range [][]string{
		{"mkfs.vfat", "-C", partition, "65536"},
		{"mmd", "-i", partition, "::EFI", "::EFI/BOOT", "::grub"},
		{"mcopy", "-i", partition, loader, "::EFI/BOOT/BOOTAA64.EFI"},
		{"mcopy", "-i", partition, config, "::grub/grub.cfg"},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", argv, err, out)
		}
	}
	table := exec.Command("sfdisk", "-q", r.DiskFile(m.Name))
	table.Stdin = strings.NewReader("label: gpt\nstart=1MiB, size=64MiB, type=uefi\n")
	if out, err := table.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
	in, err := os.Open(partition)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	disk, err := os.OpenFile(r.DiskFile(m.Name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if _, err := io.Copy(io.NewOffsetWriter(disk, start), in); err != nil {
		t.Fatal(err)
	}
}
