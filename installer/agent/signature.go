package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// magic is a fixed run of bytes at a fixed place.
type magic struct {
	at    int64 // from the start; negative: from the end
	bytes string
	what  string
}

// magics are the signatures that mean "part of something larger, or locked":
// data that a wipe of this disk would destroy without showing here. Names are
// blkid's where it has one.
var magics = []magic{
	{0, "LUKS\xba\xbe", "crypto_LUKS"},
	{0x4000, "SKUL\xba\xbe", "crypto_LUKS"}, // LUKS2's second header, when the first is damaged
	{3, "-FVE-FS-", "BitLocker"},
	{0, "bluestore block device\n", "ceph_bluestore"},
	{0x1018, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "bcache"},
	{0, "\xfc\x4e\x2b\xa9", "linux_raid_member"},      // md 1.1
	{0x1000, "\xfc\x4e\x2b\xa9", "linux_raid_member"}, // md 1.2
	{0x100000, "\x0d\xd0\x01\xc0", "VMFS_volume_member"},
	{-512, "\xde\x11\xde\x11", "ddf_raid_member"},
	{-1024, "Intel Raid ISM Cfg Sig. ", "isw_raid_member"},
	{-1024, "NVIDIA", "nvidia_raid_member"},
}

// probe returns the foreign signature on a device of the given size, or "". It
// reads only.
func probe(r io.ReaderAt, size int64) (string, error) {
	for _, m := range magics {
		at := m.at
		if at < 0 {
			at += size
		}
		b, err := readAt(r, size, at, len(m.bytes))
		if err != nil {
			return "", err
		}
		if string(b) == m.bytes {
			return m.what, nil
		}
	}
	for _, look := range []func(io.ReaderAt, int64) (string, error){probeLVM, probeMD, probeZFS, probeBtrfs} {
		if what, err := look(r, size); what != "" || err != nil {
			return what, err
		}
	}
	return "", nil
}

// readAt returns n bytes, or nil when they are not wholly on the device.
func readAt(r io.ReaderAt, size, at int64, n int) ([]byte, error) {
	if at < 0 || at+int64(n) > size {
		return nil, nil
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// probeLVM looks for the label of a physical volume, which is in one of the
// first four sectors.
func probeLVM(r io.ReaderAt, size int64) (string, error) {
	for sector := range int64(4) {
		b, err := readAt(r, size, sector*512, 32)
		if err != nil {
			return "", err
		}
		if b != nil && bytes.HasPrefix(b, []byte("LABELONE")) && bytes.HasPrefix(b[24:], []byte("LVM2 001")) {
			return "LVM2_member", nil
		}
	}
	return "", nil
}

// probeMD looks for the superblocks at the end of md members: version 0.90, in
// the machine's byte order, and 1.0.
func probeMD(r io.ReaderAt, size int64) (string, error) {
	sectors := size / 512
	for _, at := range []int64{
		size&^(64<<10-1) - 64<<10, // 0.90
		((sectors - 16) &^ 7) * 512,
	} {
		b, err := readAt(r, size, at, 4)
		if err != nil {
			return "", err
		}
		if b != nil && (binary.LittleEndian.Uint32(b) == 0xa92b4efc || binary.BigEndian.Uint32(b) == 0xa92b4efc) {
			return "linux_raid_member", nil
		}
	}
	return "", nil
}

// probeZFS looks for an uberblock in the four labels of a vdev: two at the
// start, two at the end, each of 256 KiB with its ring of uberblocks in the
// second half.
func probeZFS(r io.ReaderAt, size int64) (string, error) {
	const label, ring = 256 << 10, 128 << 10
	end := size &^ (label - 1)
	for _, start := range []int64{0, label, end - 2*label, end - label} {
		b, err := readAt(r, size, start+ring, ring)
		if err != nil {
			return "", err
		}
		for at := 0; at+8 <= len(b); at += 1 << 10 {
			if binary.LittleEndian.Uint64(b[at:]) == 0x00bab10c || binary.BigEndian.Uint64(b[at:]) == 0x00bab10c {
				return "zfs_member", nil
			}
		}
	}
	return "", nil
}

// probeBtrfs finds a btrfs that spans several devices; one on a single device is
// a file system like any other.
func probeBtrfs(r io.ReaderAt, size int64) (string, error) {
	const super, devices = 64 << 10, 0x88
	b, err := readAt(r, size, super, 0x1000)
	if err != nil || b == nil {
		return "", err
	}
	if bytes.Equal(b[0x40:0x48], []byte("_BHRfS_M")) && binary.LittleEndian.Uint64(b[devices:]) > 1 {
		return "btrfs over several devices", nil
	}
	return "", nil
}
