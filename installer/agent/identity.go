package agent

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"provision.internal/host"
)

// identities makes up random identifiers. The first fault stays in err.
type identities struct {
	rand io.Reader
	err  error
}

func (r *identities) next() (b [16]byte) {
	if r.err != nil {
		return b
	}
	if _, err := io.ReadFull(r.rand, b[:]); err != nil {
		r.err = fmt.Errorf("make identifiers: %w", err)
	}
	return b
}

// partIdentity is the PARTUUID of a partition. It is the same at each install of
// the same machine and disk, so that the firmware's entry for the ESP stays
// valid and a reinstall adds no second one. Its first half tells machine and
// disk, its second half the partition: see madeHere.
func partIdentity(name, disk string, mac host.MAC) string {
	whose := sha256.Sum256([]byte("provision disk\x00" + mac.String() + "\x00" + disk))
	what := sha256.Sum256([]byte("provision partition\x00" + name))
	return uuidOf([16]byte(append(whose[:8:8], what[:8]...)), 8)
}

// madeHere reports whether the partition with the PARTUUID was made by an install
// of this machine on this disk: what is on it is not foreign, and a reinstall may
// wipe a mirror or an encrypted root that it made itself. A disk that was moved
// here from another machine has another identity.
func madeHere(id, disk string, mac host.MAC) bool {
	const half = len("01234567-0123-0123")
	return len(id) == 36 && strings.EqualFold(id[:half], partIdentity("", disk, mac)[:half])
}

func uuidOf(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// mdUUID writes an identifier as mdadm does.
func mdUUID(b [16]byte) string {
	return fmt.Sprintf("%x:%x:%x:%x", b[0:4], b[4:8], b[8:12], b[12:16])
}

// gptIdentity returns the PARTUUID of partition n on a disk with sectors of the
// given size, "" when the disk has no GPT with it (UEFI 5.3.2, 5.3.3). Only
// the first table counts: who has damaged it has used the disk since.
func gptIdentity(r io.ReaderAt, size int64, sector, n int) (string, error) {
	header, err := readAt(r, size, int64(sector), 92)
	if err != nil || header == nil || string(header[:8]) != "EFI PART" {
		return "", err
	}
	entries, count, length := binary.LittleEndian.Uint64(header[72:]), binary.LittleEndian.Uint32(header[80:]), binary.LittleEndian.Uint32(header[84:])
	const most = 1 << 16
	if n < 1 || uint32(n) > count || length < 128 || length > most || entries > uint64(size) {
		return "", nil
	}
	entry, err := readAt(r, size, int64(entries)*int64(sector)+int64(n-1)*int64(length), 32)
	if err != nil || entry == nil {
		return "", err
	}
	id := entry[16:] // the first three fields are little-endian: RFC 4122 of another order
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(id), binary.LittleEndian.Uint16(id[4:]),
		binary.LittleEndian.Uint16(id[6:]), id[8:10], id[10:16]), nil
}
