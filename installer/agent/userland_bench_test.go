package agent

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// BenchmarkUnpack unpacks tools as large as a ROOTFS makes them: 3,000 files, 120 MiB.
func BenchmarkUnpack(b *testing.B) {
	archive := largeArchive(b)
	b.SetBytes(120 << 20)
	for b.Loop() {
		b.StopTimer()
		root, err := os.MkdirTemp(b.TempDir(), "root-")
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := unpack(bytes.NewReader(archive), root); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := os.RemoveAll(root); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(len(archive))/(1<<20), "MiB-compressed")
}

func largeArchive(b *testing.B) []byte {
	b.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithWindowSize(4<<20))
	if err != nil {
		b.Fatal(err)
	}
	w := tar.NewWriter(z)
	random := rand.New(rand.NewPCG(1, 2))
	body := make([]byte, 40<<10)
	for i := range 3000 {
		// Half of it can be compressed, as programs can.
		for j := range body {
			body[j] = byte(j)
			if j < len(body)/2 {
				body[j] = byte(random.Uint32())
			}
		}
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("usr/lib/d%d/f%d", i%50, i), Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(body))}); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}
