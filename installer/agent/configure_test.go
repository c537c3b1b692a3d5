package agent

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/installer"
)

func TestAssign(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "K='v'\n"},
		{"A=1", "A=1\nK='v'\n"},
		{"#K=old\nA=1\n", "K='v'\nA=1\n"},
		{"# K=example\nK=old\nA=1\n", "# K=example\nK='v'\nA=1\n"},
		{"KK=1\nAK=2\n", "KK=1\nAK=2\nK='v'\n"},
	} {
		if got := assign(c.text, "K", "v"); got != c.want {
			t.Errorf("assign(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

// A real sh reads what was assigned, whatever stood in the file before.
func FuzzAssign(f *testing.F) {
	f.Add("#K=old\nA=1\n", "v")
	f.Add("K='", "it's")
	f.Add("", "$(id)\n`id`")
	f.Fuzz(func(t *testing.T, text, value string) {
		if strings.ContainsAny(text, "\x00'\"\\`$(){}<>;&|") {
			return // a file that sh cannot read is not ours to mend
		}
		value = strings.ReplaceAll(value, "\x00", "")
		out := assign(text, "K", value)
		at := strings.Index(out, "K="+installer.Quote(value))
		if at < 0 {
			t.Fatalf("assign(%q, %q) = %q", text, value, out)
		}
		got, err := exec.Command("sh", "-c", out[at:at+len("K="+installer.Quote(value))]+"\nprintf %s \"$K\"").Output()
		if err != nil || string(got) != value {
			t.Errorf("sh read %q as %q, %v", value, got, err)
		}
	})
}

// A service or group that no package brings is a fault of the role, told with
// what to do; a language of musl needs no list.
func TestConfigurationFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*installer.Plan)
		want   string
	}{
		{"a service", func(p *installer.Plan) { p.Services = append(p.Services, "docker") }, `has the service "docker"`},
		{"a group", func(p *installer.Plan) { p.Users[0].Groups = []string{"docker"} }, `no group "docker"`},
		{"a file through a link out of the system", func(p *installer.Plan) { p.Files[0].Path = "/etc/out/x" }, "/etc/out"},
		{"a file system", func(p *installer.Plan) { p.Layout.Filesystem = "zfs" }, "none of ext4, xfs, btrfs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.addDisk("vda", "DISK1")
			plan := testPlan("DISK1")
			c.change(&plan)
			in, _ := testInstall(t, m, plan, false)
			m.hooks["xbps-install"] = func() {
				r, err := openTarget(m.root + targetDir)
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				if err := errors.Join(r.MkdirAll("etc", 0o755), r.Symlink("/tmp", "etc/out")); err != nil {
					t.Error(err)
				}
			}
			if err := in.run(context.Background()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("run = %v, want %q", err, c.want)
			}
		})
	}
}

func TestLocale(t *testing.T) {
	for _, c := range []struct{ list, locale, want string }{
		{"#de_DE.UTF-8 UTF-8\n", "de_DE.UTF-8", "de_DE.UTF-8 UTF-8\n"},
		{"# de_DE.UTF-8 UTF-8  \nx\n", "de_DE.UTF-8", "de_DE.UTF-8 UTF-8\nx\n"},
		{"en_US.UTF-8 UTF-8\n", "fr_FR", "en_US.UTF-8 UTF-8\nfr_FR ISO-8859-1\n"},
	} {
		m := newMachine(t)
		m.put(targetDir+"/etc/default/libc-locales", c.list)
		plan := testPlan("X")
		plan.Locale = c.locale
		in, _ := testInstall(t, m, plan, false)
		var err error
		if in.target, err = openTarget(m.root + targetDir); err != nil {
			t.Fatal(err)
		}
		if err := in.setLocale(); err != nil {
			t.Fatal(err)
		}
		if got := m.get(targetDir + "/etc/default/libc-locales"); got != c.want {
			t.Errorf("%s: the list is %q, want %q", c.locale, got, c.want)
		}
	}
}

// Accounts that packages made keep their numbers and homes.
func TestExistingAccount(t *testing.T) {
	a := accounts{
		passwd: []string{"root:x:0:0::/root:/bin/sh", "op:x:1500:1500::/srv/op:/bin/sh"},
		group:  []string{"wheel:x:4:other", "op:x:1500:"},
		shadow: []string{"root:x:1::::::", "op:$6$secret:1::::::"},
	}
	a.lock("root", "!")
	for range 2 { // a repetition changes nothing
		if err := a.add(installer.User{Name: "op", Groups: []string{"wheel"}}); err != nil {
			t.Fatal(err)
		}
	}
	want := accounts{
		passwd: []string{"root:x:0:0::/root:/bin/sh", "op:x:1500:1500::/srv/op:/bin/sh"},
		group:  []string{"wheel:x:4:other,op", "op:x:1500:"},
		shadow: []string{"root:!:1::::::", "op:*:1::::::"},
	}
	if d := cmp.Diff(want, a, cmp.AllowUnexported(accounts{})); d != "" {
		t.Errorf("accounts differ (-want +got):\n%s", d)
	}
}

func TestLoaderFor(t *testing.T) {
	for _, c := range []struct {
		arch string
		uefi bool
		want loader
	}{
		{"x86_64", true, loader{"x86_64-efi", "grubx64.efi", "BOOTX64.EFI"}},
		{"x86_64-musl", true, loader{"x86_64-efi", "grubx64.efi", "BOOTX64.EFI"}},
		{"x86_64", false, loader{target: "i386-pc"}},
		{"aarch64-musl", true, loader{"arm64-efi", "grubaa64.efi", "BOOTAA64.EFI"}},
	} {
		if got := loaderFor(c.arch, c.uefi); got != c.want {
			t.Errorf("loaderFor(%s, %v) = %+v, want %+v", c.arch, c.uefi, got, c.want)
		}
	}
}

// A reinstall finds the entry of the install before, adds none, and leaves the
// order alone.
func TestBootEntryIsReused(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	m.outputs["efibootmgr"] = []string{"BootCurrent: 0003", "BootOrder: 0003,0007", "Boot0003* PXE",
		"Boot0007* Void\tHD(1,GPT," + partIdentity("esp", "DISK1", testMAC) + ",0x800,0x40000)/File(\\EFI\\Void\\grubx64.efi)"}
	in, _ := testInstall(t, m, testPlan("DISK1"), true)
	if err := in.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	var calls []string
	for _, e := range m.done() {
		if strings.HasPrefix(e, "efibootmgr") {
			calls = append(calls, e)
		}
	}
	if d := cmp.Diff([]string{"efibootmgr --verbose", "efibootmgr --verbose --bootnext 0007"}, calls); d != "" {
		t.Errorf("calls differ (-want +got):\n%s", d)
	}
}

// GRUB's menu without a kernel boots nothing: better to say so now.
func TestMenuWithoutKernel(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	in, _ := testInstall(t, m, testPlan("DISK1"), false)
	run := in.sys.Run
	in.sys.Run = func(ctx context.Context, c Command) error {
		err := run(ctx, c)
		if c.Args[0] == "grub-mkconfig" {
			m.put(targetDir+"/boot/grub/grub.cfg", "### BEGIN /etc/grub.d/10_linux ###\n### END ###\n")
		}
		return err
	}
	if err := in.run(context.Background()); err == nil || !strings.Contains(err.Error(), "no kernel") {
		t.Errorf("run = %v", err)
	}
}

// Where the disks' entries stand among the firmware's.
func TestArrange(t *testing.T) {
	for _, c := range []struct {
		order, ours string
		want        installer.BootOrder
		result      string
	}{
		{"", "1", installer.BootNetwork, "1"},
		{"3", "1", installer.BootNetwork, "3 1"},
		{"3 1 4", "1", installer.BootNetwork, "3 1 4"}, // as an operator has put it
		{"1 3", "1", installer.BootNetwork, "3 1"},     // the disk was first
		{"3 1", "1 2", installer.BootNetwork, "3 1 2"},
		{"1 2", "1 2", installer.BootNetwork, "1 2"}, // there is no network
		{"3 1 4", "1 2", installer.BootDisk, "1 2 3 4"},
		{"1 2 3", "1 2", installer.BootDisk, "1 2 3"},
	} {
		got := strings.Join(arrange(strings.Fields(c.order), strings.Fields(c.ours), c.want), " ")
		if got != c.result {
			t.Errorf("arrange(%s, %s, %s) = %s, want %s", c.order, c.ours, c.want, got, c.result)
		}
	}
}
