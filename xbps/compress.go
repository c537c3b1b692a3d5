package xbps

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// maxWindow bounds the memory that a zstd stream can ask for; it is what the
// tool uses at its highest level. An xz stream only reserves what its header asks
// for: pages are touched as data arrives, and that is bounded.
const maxWindow = 128 << 20

// Decompress reads r in whatever compression it has, told by its first bytes:
// zstd, gzip, xz, bzip2, lz4, or none. It yields at most limit bytes and then
// fails, so that a small file cannot become an endless one. Close releases
// the decoder, not r.
func Decompress(r io.Reader, limit int64) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 128<<10)
	magic, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	out := &bounded{left: limit, limit: limit, close: func() {}}
	switch {
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		d, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		out.r, out.close = d, d.Close
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		d, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		out.r = d
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		d, err := xz.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("xz: %w", err)
		}
		out.r = d
	case bytes.HasPrefix(magic, []byte("BZh")):
		out.r = bzip2.NewReader(br)
	case bytes.HasPrefix(magic, []byte("\x04\x22\x4d\x18")):
		out.r = lz4.NewReader(br)
	default:
		out.r = br
	}
	return out, nil
}

// bounded fails once more than its limit has been read.
type bounded struct {
	r           io.Reader
	left, limit int64
	close       func()
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if int64(n) > b.left {
		return int(b.left), fmt.Errorf("more than %d bytes when decompressed", b.limit)
	}
	b.left -= int64(n)
	return n, err
}

func (b *bounded) Close() error {
	b.close()
	return nil
}
