package tftp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"provision.internal/tftp"
)

// Option names have no case (RFC 2347), the answer repeats ours in lower case, and a block never
// fragments, whatever the client asks for.
func TestOptions(t *testing.T) {
	v := serve(t, &tftp.Server{Files: loader(noise(5000))})
	for _, c := range []struct {
		ask  []string
		want string // pairs of the answer, in any order
	}{
		{[]string{"blksize", "1468", "windowsize", "4"}, "blksize=1468"},
		{[]string{"BlkSize", "9000"}, "blksize=1468"},
		{[]string{"TSIZE", "0"}, "tsize=5000"},
		{[]string{"tsize", "17"}, "tsize=5000"},
		{[]string{"blksize", strings.Repeat("0", 450) + "600"}, "blksize=600"},
	} {
		p := newPeer(t, v.addr)
		p.ask("snponly.efi", c.ask...)
		b, from := p.want(6)
		f := strings.Split(string(b[2:]), "\x00")
		if got := f[0] + "=" + f[1]; got != c.want || len(f) != 3 {
			t.Errorf("options %.40q answered by %q, want %s", c.ask, b[2:], c.want)
		}
		p.abort(from)
	}
	p := newPeer(t, v.addr)
	p.ask("snponly.efi", "blksize", "8", "timeout", "3", "utimeout", "")
	b, from := p.want(3)
	if len(b) != 4+512 {
		t.Errorf("first block has %d bytes, want the 512 of no option", len(b)-4)
	}
	p.abort(from)
}

func TestFilesOfEverySize(t *testing.T) {
	sizes := []int{0, 1, 511, 512, 513, 1467, 1468, 1469, 2 * 1468, 174_080, 5 << 20}
	files := fstest.MapFS{}
	for _, n := range sizes {
		files[fmt.Sprint("f", n)] = &fstest.MapFile{Data: noise(n)}
	}
	v := serve(t, &tftp.Server{Files: files})
	var total uint64
	for _, n := range sizes {
		got, err := newPeer(t, v.addr).fetch(fmt.Sprint("f", n), 1468, time.Second)
		if err != nil || !bytes.Equal(got, noise(n)) {
			t.Errorf("fetch of %d bytes: %d bytes, equal %v, %v", n, len(got), bytes.Equal(got, noise(n)), err)
		}
		total += uint64(n)
	}
	for _, d := range v.finished(t, len(sizes)) {
		if d.Err != nil || fmt.Sprint("f", d.Bytes) != d.File || d.Took <= 0 || !d.Peer.IsValid() {
			t.Errorf("reported %+v", d)
		}
	}
	if s := v.Stats(); s.Bytes != total || s.Finished != uint64(len(sizes)) || s.Failed != 0 {
		t.Errorf("stats %+v, want %d files with %d bytes", s, len(sizes), total)
	}
}

// More than 65,535 blocks: the block number starts again at 0.
func TestBlockNumberRollsOver(t *testing.T) {
	data := noise(512*65536 + 700)
	v := serve(t, &tftp.Server{Files: loader(data)})
	got, err := newPeer(t, v.addr).fetch("snponly.efi", 512, time.Second)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("fetch: %d of %d bytes, %v", len(got), len(data), err)
	}
}

// A machine that repeats its request while the answer is on its way has one
// transfer, not two that confuse it.
func TestRepeatedRequest(t *testing.T) {
	data := noise(100_000)
	v := serve(t, &tftp.Server{Files: loader(data)})
	p := newPeer(t, v.addr)
	for range 3 {
		p.ask("snponly.efi", "blksize", "1468")
	}
	_, first := p.want(6)
	if b, from, ok := p.receive(300 * time.Millisecond); ok {
		t.Errorf("a second answer %q from %v, the first came from %v", b, from, first)
	}
	p.abort(first)
	waitFor(t, "duplicates", func() bool { return v.Stats().Duplicates == 2 })
}

// A ROM with a fixed port that is reset in the middle of a transfer gets a new
// one, although the old has not ended.
func TestResetMachineStartsOver(t *testing.T) {
	data := noise(100_000)
	v := serve(t, &tftp.Server{Files: loader(data)})
	p := newPeer(t, v.addr)
	p.ask("snponly.efi")
	for n := uint16(1); n < 10; n++ {
		_, from := p.want(3)
		p.ack(n, from)
	}
	time.Sleep(1200 * time.Millisecond) // the firmware's self-test, in short
	for quiet := false; !quiet; {
		_, _, more := p.receive(50 * time.Millisecond)
		quiet = !more
	}
	got, err := p.fetch("snponly.efi", 1468, time.Second)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("fetch after the reset: %d of %d bytes, %v", len(got), len(data), err)
	}
}

// EDK2 asks for the size, ends that with code 8, and asks for the file. Some ROMs
// do it from one port, where the request may overtake the ERROR.
func TestSizeProbe(t *testing.T) {
	data := noise(10_000)
	v := serve(t, &tftp.Server{Files: loader(data)})
	for range 20 {
		p := newPeer(t, v.addr)
		p.ask("snponly.efi", "tsize", "0", "blksize", "1468")
		_, from := p.want(6)
		p.abort(from)
		got, err := p.fetch("snponly.efi", 1468, time.Second)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("fetch after the probe: %d of %d bytes, %v", len(got), len(data), err)
		}
	}
	for _, d := range v.finished(t, 40) {
		if d.Err != nil || d.Probe != (d.Bytes == 0) {
			t.Errorf("reported %+v", d)
		}
	}
	if s := v.Stats(); s.Probes != 20 || s.Finished != 20 || s.Failed != 0 {
		t.Errorf("stats %+v, want 20 probes, 20 finished, none failed", s)
	}
}

// An abort in the middle is a failure, whatever its code.
func TestAbortInTheMiddle(t *testing.T) {
	v := serve(t, &tftp.Server{Files: loader(noise(100_000))})
	p := newPeer(t, v.addr)
	p.ask("snponly.efi")
	_, from := p.want(3)
	p.ack(1, from)
	p.want(3)
	p.abort(from)
	d := v.finished(t, 1)[0]
	if d.Err == nil || d.Probe || d.Bytes != 512 {
		t.Errorf("reported %+v, want an error after 512 bytes", d)
	}
}

func TestRefusals(t *testing.T) {
	root := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(
		os.WriteFile(outside, []byte("secret"), 0o600),
		os.Mkdir(filepath.Join(root, "grub"), 0o755),
		os.WriteFile(filepath.Join(root, "grub", "grub.cfg"), []byte("menu"), 0o644),
		os.Symlink(outside, filepath.Join(root, "link")),
	); err != nil {
		t.Fatal(err)
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	v := serve(t, &tftp.Server{Files: dir.FS()})

	up := strings.Repeat("../", 12)
	for _, c := range []struct {
		packet string
		code   uint16
	}{
		{"\x00\x01" + up + outside + "\x00octet\x00", 2},
		{"\x00\x01grub/../../" + filepath.Base(outside) + "\x00octet\x00", 2},
		{"\x00\x01" + strings.ReplaceAll(up, "/", `\`) + outside + "\x00octet\x00", 2},
		{"\x00\x01" + outside + "\x00octet\x00", 1},
		{"\x00\x01link\x00octet\x00", 1},
		{"\x00\x01grub\x00octet\x00", 1},
		{"\x00\x01grub/missing\x00octet\x00blksize\x001468\x00", 1},
		{"\x00\x01grub/grub.cfg\x00mail\x00", 4},
		{"\x00\x02grub/grub.cfg\x00octet\x00", 2},
		{"\x00\x02new\x00octet\x00tsize\x005\x00", 2},
	} {
		p := newPeer(t, v.addr)
		p.send([]byte(c.packet), v.addr)
		b, _ := p.want(5)
		if got := binary.BigEndian.Uint16(b[2:]); got != c.code {
			t.Errorf("%q answered by %q, want code %d", c.packet, b, c.code)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a write request made a file: %v", err)
	}
	got, err := newPeer(t, v.addr).fetch(`\grub//grub.cfg`, 512, time.Second)
	if err != nil || string(got) != "menu" {
		t.Errorf("the file itself: %q, %v", got, err)
	}
}

// Anyone can send anything: it costs a count, and the next machine boots.
func TestGarbage(t *testing.T) {
	data := noise(3000)
	v := serve(t, &tftp.Server{Files: loader(data)})
	p := newPeer(t, v.addr)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		b := make([]byte, r.IntN(1400))
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		if i%2 == 0 && len(b) > 1 {
			b[0], b[1] = 0, byte(3+i%5)
		}
		p.send(b, v.addr)
	}
	got, err := newPeer(t, v.addr).fetch("snponly.efi", 1468, time.Second)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("fetch after garbage: %d bytes, %v", len(got), err)
	}
	if s := v.Stats(); s.Malformed == 0 || s.Requests != 1 {
		t.Errorf("stats %+v, want malformed packets and one request", s)
	}
}

// A strange packet on a transfer's own port neither ends nor confuses it.
func TestStrangersOnTheTransferPort(t *testing.T) {
	data := noise(5000)
	v := serve(t, &tftp.Server{Files: loader(data)})
	p, stranger := newPeer(t, v.addr), newPeer(t, v.addr)
	p.ask("snponly.efi")
	var got []byte
	for n := uint16(1); ; n++ {
		b, from := p.want(3)
		got = append(got, b[4:]...)
		stranger.ack(n, from)
		stranger.send([]byte("\x00\x05\x00\x00bye\x00"), from)
		p.send([]byte{0}, from)
		p.send([]byte{0, 4, 0}, from)
		p.send([]byte{0xff, 0xff, 1, 2, 3}, from)
		p.ack(n-1, from) // again
		p.ack(n, from)
		if len(b) < 516 {
			break
		}
	}
	if d := v.finished(t, 1)[0]; d.Err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d of %d bytes, reported %+v", len(got), len(data), d)
	}
}

// broken fails after its first half.
type broken struct{ fs.FS }

func (b broken) Open(name string) (fs.File, error) {
	f, err := b.FS.Open(name)
	return &half{File: f}, err
}

type half struct {
	fs.File
	n int
}

func (h *half) Read(p []byte) (int, error) {
	if h.n > 3<<20 {
		return 0, errors.New("medium error at sector 4711")
	}
	n, err := h.File.Read(p)
	h.n += n
	return n, err
}

func TestFileThatCannotBeRead(t *testing.T) {
	for _, size := range []int{3<<20 + 100_000, 6 << 20} { // read whole, and as it goes
		v := serve(t, &tftp.Server{Files: broken{loader(noise(size))}})
		_, err := newPeer(t, v.addr).fetch("snponly.efi", 1468, time.Second)
		if err == nil || !strings.Contains(err.Error(), "cannot be read") || strings.Contains(err.Error(), "4711") {
			t.Errorf("client of a broken file with %d bytes is told %v", size, err)
		}
		if d := v.finished(t, 1)[0]; d.Err == nil || !strings.Contains(d.Err.Error(), "sector 4711") {
			t.Errorf("reported %+v, want the medium's error", d)
		}
	}
}

// Many at once share one reading, and each gets every byte.
func TestManyClients(t *testing.T) {
	data := noise(174_080)
	v := serve(t, &tftp.Server{Files: loader(data), Share: 4, Sessions: 8})
	var wg sync.WaitGroup
	for range 60 {
		p := newPeer(t, v.addr)
		wg.Go(func() {
			got, err := p.fetch("snponly.efi", 1468, time.Second)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("fetch: %d of %d bytes, %v", len(got), len(data), err)
			}
		})
	}
	most := 0
	stopped := make(chan struct{})
	go func() { wg.Wait(); close(stopped) }()
	for running := true; running; {
		select {
		case <-stopped:
			running = false
		case <-time.After(time.Millisecond):
			most = max(most, v.Stats().Running)
		}
	}
	if s := v.Stats(); s.Queued == 0 || s.Dropped != 0 || s.Failed != 0 || most > 8 {
		t.Errorf("stats %+v with %d at a time, want a queue, no loss, and no more than 8 at a time", s, most)
	}
}

// Clients that go silent leave the server idle, so that others begin before they have
// been given up.
func TestSilentClientsHoldNobodyUp(t *testing.T) {
	data := noise(20_000)
	v := serve(t, &tftp.Server{Files: loader(data), Share: 2, Sessions: 100})
	for range 2 {
		p := newPeer(t, v.addr)
		p.ask("snponly.efi")
		p.want(3)
	}
	got, err := newPeer(t, v.addr).fetch("snponly.efi", 1468, 10*time.Second)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("fetch beside silent clients: %d of %d bytes, %v", len(got), len(data), err)
	}
	v.finished(t, 1)
	if s := v.Stats(); s.Queued != 1 || s.Duplicates != 0 || s.Finished != 1 {
		t.Errorf("stats %+v, want one that queued and was served at its first request", s)
	}
}
