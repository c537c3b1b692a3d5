package agent

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// image is a device with text at places; places below zero count from the end.
func image(size int64, places map[int64]string) *bytes.Reader {
	b := make([]byte, size)
	for at, text := range places {
		if at < 0 {
			at += size
		}
		copy(b[at:], text)
	}
	return bytes.NewReader(b)
}

func little(v uint64) string { return string(binary.LittleEndian.AppendUint64(nil, v)) }
func big(v uint64) string    { return string(binary.BigEndian.AppendUint64(nil, v)) }

func TestProbe(t *testing.T) {
	const size = 4<<20 + 7*512 // not aligned, as partitions are
	const labels = (4 << 20) - 256<<10
	for _, c := range []struct {
		name   string
		places map[int64]string
		want   string
	}{
		{"empty", nil, ""},
		{"LUKS", map[int64]string{0: "LUKS\xba\xbe\x00\x02"}, "crypto_LUKS"},
		{"LUKS with a damaged first header", map[int64]string{0x4000: "SKUL\xba\xbe"}, "crypto_LUKS"},
		{"BitLocker", map[int64]string{3: "-FVE-FS-"}, "BitLocker"},
		{"LVM in the usual sector", map[int64]string{512: "LABELONE", 512 + 24: "LVM2 001"}, "LVM2_member"},
		{"LVM in the last possible sector", map[int64]string{1536: "LABELONE", 1536 + 24: "LVM2 001"}, "LVM2_member"},
		{"an LVM label too far in", map[int64]string{2048: "LABELONE", 2048 + 24: "LVM2 001"}, ""},
		{"md 1.0", map[int64]string{(size/512 - 16) / 8 * 8 * 512: "\xfc\x4e\x2b\xa9"}, "linux_raid_member"},
		{"md 1.1", map[int64]string{0: "\xfc\x4e\x2b\xa9"}, "linux_raid_member"},
		{"md 1.2", map[int64]string{4096: "\xfc\x4e\x2b\xa9"}, "linux_raid_member"},
		{"md 0.90", map[int64]string{4<<20 - 64<<10: "\xfc\x4e\x2b\xa9"}, "linux_raid_member"},
		{"md 0.90 of a big-endian machine", map[int64]string{4<<20 - 64<<10: "\xa9\x2b\x4e\xfc"}, "linux_raid_member"},
		{"ZFS", map[int64]string{128<<10 + 5<<10: little(0x00bab10c)}, "zfs_member"},
		{"ZFS, only the last label, big-endian", map[int64]string{labels + 128<<10: big(0x00bab10c)}, "zfs_member"},
		{"Ceph", map[int64]string{0: "bluestore block device\nabc"}, "ceph_bluestore"},
		{"bcache", map[int64]string{0x1018: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"}, "bcache"},
		{"DDF", map[int64]string{-512: "\xde\x11\xde\x11"}, "ddf_raid_member"},
		{"Intel RAID", map[int64]string{-1024: "Intel Raid ISM Cfg Sig. 1.3.00"}, "isw_raid_member"},
		{"VMFS", map[int64]string{1 << 20: "\x0d\xd0\x01\xc0"}, "VMFS_volume_member"},
		{"btrfs over two", map[int64]string{64<<10 + 0x40: "_BHRfS_M", 64<<10 + 0x88: little(2)}, "btrfs over several devices"},
		{"btrfs alone", map[int64]string{64<<10 + 0x40: "_BHRfS_M", 64<<10 + 0x88: little(1)}, ""},
		{"a boot sector", map[int64]string{510: "\x55\xaa", 512: "EFI PART"}, ""},
	} {
		if got, err := probe(image(size, c.places), size); err != nil || got != c.want {
			t.Errorf("%s: probe = %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

// What real programs leave: plain file systems are no reason to refuse, and
// what blkid calls a member is one.
func TestProbeRealPrograms(t *testing.T) {
	for _, c := range []struct {
		command []string
		want    string
	}{
		{[]string{"mkfs.ext4", "-F", "-q"}, ""},
		{[]string{"mkfs.vfat"}, ""},
		{[]string{"mkfs.xfs", "-q", "-f"}, ""},
		{[]string{"mkfs.btrfs", "-q", "-f"}, ""},
		{[]string{"mkswap"}, ""},
		{[]string{"cryptsetup", "luksFormat", "-q", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--key-file=/etc/hostname"}, "crypto_LUKS"},
	} {
		t.Run(c.command[0], func(t *testing.T) {
			program, err := lookUp("", c.command[0])
			if err != nil {
				t.Skipf("%s is not installed", c.command[0])
			}
			file := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			const size = 512 << 20 // sparse; XFS wants 300 MB
			if err := os.Truncate(file, size); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(program, append(c.command[1:], file)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", c.command, err, out)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got, err := probe(f, size); err != nil || got != c.want {
				t.Errorf("probe = %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// Any content of any size is read without a fault.
func FuzzProbe(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add([]byte("LUKS\xba\xbe"), uint8(0))
	f.Add([]byte("LABELONE................LVM2 001"), uint8(1))
	f.Add([]byte("\xfc\x4e\x2b\xa9"), uint8(8))
	f.Fuzz(func(t *testing.T, content []byte, sector uint8) {
		b := append(make([]byte, int(sector)*512), content...)
		if what, err := probe(bytes.NewReader(b), int64(len(b))); err != nil {
			t.Errorf("probe of %d bytes = %q, %v", len(b), what, err)
		}
	})
}
