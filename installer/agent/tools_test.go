package agent

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"provision.internal/host"
	"provision.internal/installer"
)

// The scripts and arguments that we write are what the real sfdisk, mkfs and
// blkid understand. A file stands for the disk.
func TestRealPartitioning(t *testing.T) {
	sfdisk, err := lookUp("", "sfdisk")
	if err != nil {
		t.Skip("sfdisk is not installed")
	}
	for _, uefi := range []bool{true, false} {
		file := sparse(t, 8<<30)
		plan := testPlan("X")
		plan.Layout.Swap = 512 << 20
		l, err := divide([]host.Disk{{Name: "vda", Serial: "X", Size: 8 << 30}}, plan, uefi, 512, randomBytes)
		if err != nil {
			t.Fatal(err)
		}
		if err := runCommand(context.Background(), Command{Args: []string{sfdisk, "--wipe", "always", "--wipe-partitions", "always", file}, Stdin: l.disks[0].script()}); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(sfdisk, "--json", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		var table struct {
			PartitionTable struct {
				Label      string
				Partitions []struct {
					Start, Size      uint64
					Type, UUID, Name string
				}
			}
		}
		if err := json.Unmarshal(out, &table); err != nil {
			t.Fatal(err)
		}
		got := table.PartitionTable
		want := []string{typeBIOS, typeSwap, typeLinux}
		if uefi {
			want[0] = typeESP
		}
		if got.Label != "gpt" || len(got.Partitions) != len(want) {
			t.Fatalf("UEFI %v: the table is %s", uefi, out)
		}
		for i, p := range got.Partitions {
			if p.Type != want[i] || p.Start%2048 != 0 {
				t.Errorf("UEFI %v: partition %d is %+v, want the type %s on a whole MiB", uefi, i+1, p, want[i])
			}
		}
		if uefi && (!strings.EqualFold(got.Partitions[0].UUID, l.disks[0].espID) || got.Partitions[0].Size*512 != defaultESP) {
			t.Errorf("the EFI partition is %+v, want %s", got.Partitions[0], l.disks[0].espID)
		}
	}
}

func sparse(t *testing.T, size int64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	return file
}

// fstab and GRUB name file systems by identifiers that were made up before
// them: blkid must find the same.
func TestRealFilesystems(t *testing.T) {
	plan := testPlan("X")
	plan.Layout.Swap = 64 * mib
	for _, fs := range installer.Filesystems {
		for _, program := range []string{"mkfs." + fs, "mkfs.vfat", "mkswap", "blkid"} {
			if _, err := lookUp("", program); err != nil {
				t.Skipf("%s is not installed: make deps installs it", program)
			}
		}
		plan.Layout.Filesystem = fs
		l, err := divide([]host.Disk{{Name: "vda", Serial: "X", Size: 8 << 30}}, plan, true, 512, randomBytes)
		if err != nil {
			t.Fatal(err)
		}
		esp := sparse(t, defaultESP)
		l.disks[0].esp = esp
		wanted := map[string]string{esp: l.disks[0].espFS + " vfat"}
		for _, v := range l.volumes {
			v.parts[0] = sparse(t, gib)
			wanted[v.parts[0]] = v.id + " " + v.fs
		}
		sys := newMachine(t).system()
		sys.Run = runCommand
		in := &install{sys: sys, log: &Log{Console: t.Output()}, plan: plan, layout: l}
		if err := in.makeFilesystems(context.Background()); err != nil {
			t.Fatal(err)
		}
		for file, want := range wanted {
			if got := probed(t, file); got != want {
				t.Errorf("blkid sees %q, want %q", got, want)
			}
		}
	}
}

// probed is what blkid reads of a device: UUID and type.
func probed(t *testing.T, file string) string {
	t.Helper()
	var got []string
	for _, tag := range []string{"UUID", "TYPE"} {
		out, err := exec.Command("blkid", "-p", "-o", "value", "-s", tag, file).Output()
		if err != nil {
			t.Fatalf("blkid: %v", err)
		}
		got = append(got, strings.TrimSpace(string(out)))
	}
	return strings.Join(got, " ")
}

// The commands that we give are those of the real cryptsetup: the passphrase
// opens slot 0 and the machine's key slot 1. A file stands for the partition.
func TestRealEncryption(t *testing.T) {
	if _, err := lookUp("", "cryptsetup"); err != nil {
		t.Skip("cryptsetup is not installed: make deps installs it")
	}
	sys := newMachine(t).system()
	plan := mirrorPlan()
	in := &install{sys: sys, log: &Log{Console: t.Output()}, plan: plan}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("the machine's key"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := volume{name: "root", path: "/", fs: "ext4", parts: []string{sparse(t, 64*mib)}, luks: "7c9a4b1e-5a10-4c39-9f57-3d3f0f6c1c11"}
	commands := in.cryptsetup(v, key)
	for _, c := range commands[:len(commands)-1] { // the last one needs the device mapper
		if err := runCommand(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if got := probed(t, v.parts[0]); got != v.luks+" crypto_LUKS" {
		t.Errorf("blkid sees %q, want %s", got, v.luks)
	}
	for _, c := range []struct {
		slot, secret string
		opens        bool
	}{{"0", string(plan.Layout.Passphrase), true}, {"1", "the machine's key", true}, {"0", "the machine's key", false}} {
		err := runCommand(t.Context(), Command{
			Args: []string{"cryptsetup", "open", "--test-passphrase", "--key-slot=" + c.slot, "--key-file=-", v.parts[0]}, Stdin: c.secret,
		})
		if (err == nil) != c.opens {
			t.Errorf("slot %s and %q: %v, want it to open: %v", c.slot, c.secret, err, c.opens)
		}
	}
}

// mdadm accepts our arguments on real devices, and blkid finds the array by the
// UUID that was made up before.
func TestRealMirror(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for loop devices and arrays")
	}
	if _, err := lookUp("", "mdadm"); err != nil {
		t.Skip("mdadm is not installed: make deps installs it")
	}
	if _, err := os.Stat("/proc/mdstat"); err != nil {
		t.Skip("this computer's kernel has no md driver loaded; the end-to-end tests make real arrays")
	}
	v := volume{name: "root", md: "/dev/md99", mdID: "01020304:05060708:090a0b0c:0d0e0f10", parts: []string{loop(t, 64*mib), loop(t, 64*mib)}}
	sys := newMachine(t).system()
	sys.Run = runCommand
	in := &install{sys: sys, log: &Log{Console: t.Output()}, self: "/bin/true", layout: layout{volumes: []volume{v}}}
	if err := in.makeMirrors(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mdadm", "--examine", "--export", v.parts[1]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "MD_UUID="+v.mdID) || !strings.Contains(string(out), "MD_METADATA=1.2") {
		t.Errorf("mdadm sees %s (%v), want the UUID %s", out, err, v.mdID)
	}
	if err := in.closeDevices(t.Context()); err != nil {
		t.Error(err)
	}
}

// loop makes a loop device of a sparse file, for as long as the test runs.
func loop(t *testing.T, size int64) string {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", sparse(t, size)).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device here: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("losetup: %v: %s", err, out)
		}
	})
	return device
}

// On a real block device, with the real mounts: what is written is there after
// everything was unmounted.
func TestRealMounts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a loop device and mounts")
	}
	device := loop(t, 256<<20)
	m := newMachine(t)
	sys := m.system()
	sys.Run, sys.Mount, sys.Unmount = runCommand, mount, unmount
	in := &install{sys: sys, log: &Log{Console: t.Output()}, plan: testPlan("X"), layout: layout{volumes: []volume{
		{name: "root", path: "/", fs: "ext4", parts: []string{device}, id: "7c9a4b1e-5a10-4c39-9f57-3d3f0f6c1c11"},
	}}}
	ctx := context.Background()
	if err := in.makeFilesystems(ctx); err != nil {
		t.Fatal(err)
	}
	if err := in.mount(ctx); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skipf("mounting is not allowed here: %v", err)
		}
		t.Fatal(errors.Join(err, in.unmount(ctx)))
	}
	err := errors.Join(
		in.target.write("/etc/hostname", 0o644, "node1\n"),
		in.inTargetFile("/dev/null"), in.inTargetFile("/proc/self/status"), in.inTargetFile("/sys/kernel"),
		in.unmount(ctx), in.unmount(ctx)) // twice does no harm
	if err != nil {
		t.Fatal(err)
	}
	if left := m.get(targetDir + "/etc/hostname"); left != "" {
		t.Error("the new system is still mounted")
	}
	at := m.root + targetDir
	if err := unix.Mount(device, at, "ext4", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(at, 0)
	if got := m.get(targetDir + "/etc/hostname"); got != "node1\n" {
		t.Errorf("the disk holds %q", got)
	}
}

// inTargetFile checks that the new system shows one of the kernel's files.
func (in *install) inTargetFile(name string) error {
	_, err := os.Stat(in.sys.path(targetDir, name))
	return err
}
