package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// openTest opens the journal at path and returns its payloads.
func openTest(t testing.TB, path string) (j *journal, payloads []string, torn int64, err error) {
	t.Helper()
	j, torn, err = openJournal(path, func(b []byte) error {
		payloads = append(payloads, string(b))
		return nil
	})
	if err == nil {
		t.Cleanup(func() { j.close() })
	}
	return j, payloads, torn, err
}

// written makes a journal of payloads and returns its path, its bytes and the
// ends of its frames.
func written(t testing.TB, payloads ...string) (path string, data []byte, ends []int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal")
	j, _, _, err := openTest(t, path)
	if err != nil {
		t.Fatal(err)
	}
	ends = []int{int(j.size)}
	for _, p := range payloads {
		if err := j.append([]byte(p)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, int(j.size))
	}
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, data, ends
}

// A crash may cut the file anywhere behind what was synced. Whatever the cut, the
// journal holds the frames that were complete, says what it cut off, and goes
// on.
func TestJournalCutAnywhere(t *testing.T) {
	want := []string{"one", "", "three, which is longer", string(frameMagic)}
	path, data, ends := written(t, want...)
	for cut := ends[0]; cut <= len(data); cut++ {
		if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for whole+1 < len(ends) && ends[whole+1] <= cut {
			whole++
		}
		tail := writtenIn(data[ends[whole]:cut])
		j, got, torn, err := openTest(t, path)
		if err != nil || !slices.Equal(got, want[:whole]) || torn != tail {
			t.Fatalf("cut at %d: %q, %d torn, %v; want the first %d and %d torn", cut, got, torn, err, whole, tail)
		}
		if err := j.append([]byte("next")); err != nil {
			t.Fatal(err)
		}
		if _, got, torn, err := openTest(t, path); err != nil || torn != 0 || !slices.Equal(got, append(slices.Clone(want[:whole]), "next")) {
			t.Fatalf("cut at %d, after another append: %q, %d torn, %v", cut, got, torn, err)
		}
	}
}

// writtenIn counts the bytes of a torn append: zeros at its end are as if they
// had not been written.
func writtenIn(tail []byte) int64 { return int64(len(bytes.TrimRight(tail, "\x00"))) }

// A file system may have made the file longer before the data came.
func TestJournalWithGarbageAtItsEnd(t *testing.T) {
	path, data, _ := written(t, "one", "two")
	for name, tail := range map[string][]byte{
		"zeros":        make([]byte, 5000),
		"other bytes":  bytes.Repeat([]byte{0xa5}, 777),
		"half a frame": frame(3, []byte("three"))[:frameHead+2],
		"a bad sum":    append(frame(3, []byte("three"))[:frameHead], "thrEE"...),
	} {
		if err := os.WriteFile(path, slices.Concat(data, tail), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, got, torn, err := openTest(t, path); err != nil || torn != writtenIn(tail) || !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("%s: %q, %d torn, %v; want both and %d torn", name, got, torn, err, writtenIn(tail))
		}
	}
}

// Damage before the last frame is not a crash: it is reported, and the file is
// left as it is.
func TestJournalDamagedInTheMiddle(t *testing.T) {
	path, data, ends := written(t, "one", "two", "three")
	for at := range ends[2] {
		spoilt := slices.Clone(data)
		spoilt[at] ^= 0x40
		if err := os.WriteFile(path, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, _, err := openTest(t, path)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Fatalf("byte %d of %d: %v, want ErrDamaged with the path", at, len(data), err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, spoilt) {
			t.Fatalf("byte %d: the file was changed (%v)", at, err)
		}
	}
	for name, data := range map[string][]byte{
		"a frame is missing":      slices.Concat(data[:ends[0]], data[ends[1]:]),
		"a frame is repeated":     slices.Concat(data[:ends[1]], data[ends[0]:]),
		"frames are reordered":    slices.Concat(data[:ends[0]], data[ends[1]:ends[2]], data[ends[0]:ends[1]]),
		"another file":            []byte("#!/bin/sh\n"),
		"an empty file":           nil,
		"an old frame at its end": slices.Concat(data, data[ends[1]:ends[2]]),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := openTest(t, path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
}

func TestJournalWhoseContentMakesNoSense(t *testing.T) {
	path, _, _ := written(t, "one")
	_, _, err := openJournal(path, func([]byte) error { return errors.New("no such word") })
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "no such word") {
		t.Errorf("openJournal: %v, want ErrDamaged with the reason", err)
	}
}

// failingFile fails as told, after it has written a part.
type failingFile struct {
	diskFile
	write, sync, truncate error
	part                  int
}

func (f *failingFile) WriteAt(b []byte, off int64) (int, error) {
	if f.write != nil {
		n, err := f.diskFile.WriteAt(b[:min(f.part, len(b))], off)
		return n, errors.Join(f.write, err)
	}
	return f.diskFile.WriteAt(b, off)
}

func (f *failingFile) Datasync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.diskFile.Datasync()
}

func (f *failingFile) Truncate(size int64) error {
	if f.truncate != nil {
		return f.truncate
	}
	return f.diskFile.Truncate(size)
}

// Whatever a disk does to an append, the journal is as before, and goes on when
// the disk does.
func TestJournalOnAFailingDisk(t *testing.T) {
	for _, fail := range []failingFile{
		{write: syscall.ENOSPC},
		{write: syscall.ENOSPC, part: 3},
		{write: syscall.ENOSPC, part: frameHead + 2},
		{sync: syscall.EIO},
		{write: syscall.ENOSPC, part: 30, truncate: syscall.EIO},
		{sync: syscall.EIO, truncate: syscall.EIO},
	} {
		path := filepath.Join(t.TempDir(), "journal")
		j, _, _, err := openTest(t, path)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.append([]byte("before")); err != nil {
			t.Fatal(err)
		}
		disk := j.file.(diskFile)
		fail.diskFile = disk
		j.file = &fail
		for range 2 {
			if err := j.append([]byte("a longer one that gets lost")); err == nil {
				t.Fatalf("%+v: append succeeded", fail)
			}
		}
		j.file = disk
		if err := j.append([]byte("after")); err != nil {
			t.Fatalf("after %+v: %v", fail, err)
		}
		if _, got, torn, err := openTest(t, path); err != nil || torn != 0 || !slices.Equal(got, []string{"before", "after"}) {
			t.Errorf("after %+v: %q, %d torn, %v; want before and after", fail, got, torn, err)
		}
	}
}

func FuzzReadFrames(f *testing.F) {
	_, data, ends := written(f, "one", "two", "three")
	f.Add(data)
	f.Add(data[:ends[1]+5])
	f.Add([]byte(journalHeader))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var payloads [][]byte
		end, sequence, err := readFrames(data, func(b []byte) error {
			payloads = append(payloads, b)
			return nil
		})
		if err != nil {
			return
		}
		again := []byte(journalHeader)
		for i, p := range payloads {
			again = append(again, frame(uint64(i+1), p)...)
		}
		if sequence != uint64(len(payloads)) || !bytes.Equal(again, data[:end]) {
			t.Errorf("read %d frames up to %d of %q, which are not what is there", len(payloads), end, data)
		}
	})
}

func TestExplainSaysWhatToDo(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOSPC: "free space for /state", syscall.EIO: "check the disk", errors.New("other"): "other",
	} {
		got := explain(fmt.Errorf("write: %w", err), "/state")
		if !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("explain(%v) = %v, want %q", err, got, want)
		}
	}
}
