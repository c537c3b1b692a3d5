package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A journal is an append-only file of frames behind a header:
//
//	magic 4 | length 4 | sequence 8 | CRC-32C of the preceding 12 and the payload 4 | payload
//
// One append is one frame, one write and one fdatasync, so at most one frame,
// the last one, can be incomplete after a crash: it was never acknowledged and
// is cut off at the next start. Anything else that does not verify is damage,
// which is reported and never repaired silently.
//
// A journal that is appended to often holds zeros behind the last frame, written
// ahead in large pieces: a sync of bytes that the file already has costs no
// change of its metadata.
type journal struct {
	file     journalFile
	path     string
	size     int64 // end of the last good frame
	ahead    int64 // how many zeros to write at a time
	zeroed   int64 // end of the zeros behind size
	sequence uint64
	dirty    bool // a failed append may have left bytes behind size
}

// journalFile is the part of *os.File that a journal writes with: the seam for
// disks that fail.
type journalFile interface {
	WriteAt(b []byte, off int64) (int, error)
	Datasync() error
	Truncate(size int64) error
	Close() error
}

// diskFile is a journalFile on a real disk.
type diskFile struct{ *os.File }

// Datasync writes the data, and of the metadata only what reading it needs.
func (f diskFile) Datasync() error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

const (
	journalHeader = "provision journal 1\n"
	frameHead     = 20
	maxFrame      = 64 << 20
)

var (
	// frameMagic cannot occur in UTF-8, so no text in a payload looks like a frame.
	frameMagic = []byte{0xfe, 'P', 'J', 0xff}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// openJournal opens the journal at path, or makes it, and hands every payload
// to replay in order. torn is the number of bytes of an unfinished append that
// were cut off.
func openJournal(path string, replay func(payload []byte) error) (_ *journal, torn int64, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data = []byte(journalHeader)
		err = replaceFile(path, data)
	}
	if err != nil {
		return nil, 0, err
	}
	end, sequence, err := readFrames(data, replay)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	j := &journal{file: diskFile{f}, path: path, size: end, zeroed: int64(len(data)), sequence: sequence}
	if torn = int64(len(bytes.TrimRight(data[end:], "\x00"))); torn > 0 {
		j.zeroed = end
		if err := errors.Join(f.Truncate(end), f.Sync()); err != nil {
			return nil, 0, errors.Join(err, f.Close())
		}
	}
	return j, torn, nil
}

// readFrames verifies data and replays its payloads. It returns the end of the
// last good frame; what follows it is a torn append.
func readFrames(data []byte, replay func(payload []byte) error) (end int64, sequence uint64, err error) {
	if !bytes.HasPrefix(data, []byte(journalHeader)) {
		return 0, 0, fmt.Errorf("%w: it does not begin as a journal", ErrDamaged)
	}
	at := len(journalHeader)
	for at < len(data) {
		payload, seq, ok := readFrame(data[at:])
		if !ok || seq != sequence+1 {
			if follows := nextFrame(data[at+1:]); ok || follows >= 0 {
				return 0, 0, fmt.Errorf("%w at byte %d of %d", ErrDamaged, at, len(data))
			}
			break
		}
		if err := replay(payload); err != nil {
			return 0, 0, fmt.Errorf("%w at byte %d: %w", ErrDamaged, at, err)
		}
		at += frameHead + len(payload)
		sequence = seq
	}
	return int64(at), sequence, nil
}

// readFrame returns the frame that b begins with.
func readFrame(b []byte) (payload []byte, sequence uint64, ok bool) {
	if len(b) < frameHead || !bytes.HasPrefix(b, frameMagic) {
		return nil, 0, false
	}
	length := binary.BigEndian.Uint32(b[4:])
	if length > maxFrame || int(length) > len(b)-frameHead {
		return nil, 0, false
	}
	payload = b[frameHead : frameHead+int(length)]
	if binary.BigEndian.Uint32(b[16:]) != frameSum(b, payload) {
		return nil, 0, false
	}
	return payload, binary.BigEndian.Uint64(b[8:]), true
}

// nextFrame finds the first whole frame in b: where there is one, what precedes
// it was once complete. It returns -1 when there is none.
func nextFrame(b []byte) int {
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], frameMagic)
		if i < 0 {
			return -1
		}
		at += i
		if _, _, ok := readFrame(b[at:]); ok {
			return at
		}
	}
}

func frameSum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[4:16], castagnoli), castagnoli, payload)
}

// frame wraps payload.
func frame(sequence uint64, payload []byte) []byte {
	b := make([]byte, frameHead, frameHead+len(payload))
	copy(b, frameMagic)
	binary.BigEndian.PutUint32(b[4:], uint32(len(payload)))
	binary.BigEndian.PutUint64(b[8:], sequence)
	binary.BigEndian.PutUint32(b[16:], frameSum(b, payload))
	return append(b, payload...)
}

// append makes payload durable. After an error the journal is as it was before:
// what the failed write left behind is cut off, now or before the next append.
func (j *journal) append(payload []byte) error {
	if len(payload) > maxFrame {
		return fmt.Errorf("%s: a record of %d bytes is too large", j.path, len(payload))
	}
	if j.dirty {
		if err := j.file.Truncate(j.size); err != nil {
			return err
		}
		j.dirty = false
	}
	b := frame(j.sequence+1, payload)
	end := j.size + int64(len(b))
	_, err := j.file.WriteAt(b, j.size)
	if err == nil && j.ahead > 0 && end > j.zeroed {
		j.zeroed = j.writeZeros(end)
	}
	if err == nil {
		err = j.file.Datasync()
	}
	if err != nil {
		// The kernel marks pages clean after a failed sync, so that a second
		// sync would lie. Cutting the file drops them, and the next append
		// writes new ones.
		j.dirty = j.file.Truncate(j.size) != nil
		j.zeroed = j.size
		return err
	}
	j.size += int64(len(b))
	j.sequence++
	return nil
}

// writeZeros writes ahead from end on and returns where the zeros end. A disk
// that has no room for them may still have it for the frames: then there are
// none.
func (j *journal) writeZeros(end int64) int64 {
	if _, err := j.file.WriteAt(make([]byte, j.ahead), end); err != nil {
		j.dirty = j.file.Truncate(end) != nil
		return end
	}
	return end + j.ahead
}

// close leaves no zeros behind: what the file holds is then what it says.
func (j *journal) close() error {
	return errors.Join(j.file.Truncate(j.size), j.file.Close())
}

// replaceFile puts data at path in one step that a crash cannot halve.
func replaceFile(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
