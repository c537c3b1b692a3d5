package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"provision.internal/xbps"
)

const (
	attempts = 4
	// readers is how many packages are fetched at once: enough to keep a link
	// busy and few enough for a machine of two processors.
	readers = 3
	// idle is how long a transfer may yield nothing.
	idle = 30 * time.Second
)

var client = &http.Client{Transport: &http.Transport{
	MaxIdleConnsPerHost: readers, ResponseHeaderTimeout: idle, DisableCompression: true,
	Proxy: http.ProxyFromEnvironment,
}}

// errStatus is an answer that another attempt will not change.
var errStatus = errors.New("refused by the server")

// download fetches url to name, resuming what is there of it in name.part, and
// returns the SHA-256 of the whole.
func download(ctx context.Context, url, name string) (digest [sha256.Size]byte, size int64, err error) {
	for i := range attempts {
		if i > 0 {
			select {
			case <-ctx.Done():
				return digest, 0, ctx.Err()
			case <-time.After(time.Duration(i) * time.Second):
			}
		}
		digest, size, err = attempt(ctx, url, name)
		if err == nil || errors.Is(err, errStatus) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return digest, 0, fmt.Errorf("download %s: %w", url, err)
	}
	return digest, size, os.Rename(name+".part", name)
}

func attempt(ctx context.Context, url, name string) (digest [sha256.Size]byte, size int64, err error) {
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return digest, 0, err
	}
	defer f.Close()
	h := sha256.New()
	have, err := io.Copy(h, f)
	if err != nil {
		return digest, 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(idle, func() { cancel(fmt.Errorf("nothing arrived for %s", idle)) })
	defer stalled.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return digest, 0, err
	}
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	answer, err := client.Do(request)
	if err != nil {
		return digest, 0, err
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusPartialContent && have > 0:
	case answer.StatusCode == http.StatusOK, answer.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		// The whole, or a part that is no part of what there is now: from the start.
		if err := restart(f, h); err != nil {
			return digest, 0, err
		}
		have = 0
		if answer.StatusCode != http.StatusOK {
			return digest, 0, errors.New("what was there of it was too long")
		}
	case answer.StatusCode >= 500:
		return digest, 0, errors.New(answer.Status)
	default:
		return digest, 0, fmt.Errorf("%w: %s", errStatus, answer.Status)
	}
	n, err := io.Copy(io.MultiWriter(f, h), &watched{answer.Body, stalled})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return digest, 0, err
	}
	return [sha256.Size]byte(h.Sum(nil)), have + n, nil
}

func restart(f *os.File, h hash.Hash) error {
	h.Reset()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return f.Truncate(0)
}

// watched resets a timer with everything that arrives.
type watched struct {
	r     io.Reader
	timer *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.timer.Reset(idle)
	return n, err
}

// fetch brings a package and its signature into the cache and verifies them. A
// file that fails is removed.
func fetch(ctx context.Context, cache, url, fingerprint string, keys xbps.Keys, p xbps.Package) error {
	name := filepath.Join(cache, p.File())
	digest, err := cached(name)
	if errors.Is(err, fs.ErrNotExist) {
		var size int64
		if _, _, err = download(ctx, url+"/"+p.File()+".sig2", name+".sig2"); err == nil {
			begin := time.Now()
			if digest, size, err = download(ctx, url+"/"+p.File(), name); err == nil {
				fmt.Printf("%s: %s [avg rate: %s/s]\n", p.File(), humanize(uint64(size)), humanize(rate(size, time.Since(begin))))
			}
		}
	}
	if err != nil {
		return err
	}
	fmt.Printf("%s: verifying RSA signature...\n", p.Pkgver)
	signature, err := os.ReadFile(name + ".sig2")
	if err == nil {
		err = xbps.VerifyPackage(p, digest, signature, keys, fingerprint)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w; removed pkg archive and its signature", p.Pkgver, err), os.Remove(name), os.Remove(name+".sig2"))
	}
	return nil
}

// cached hashes a file that an earlier run has fetched.
func cached(name string) (digest [sha256.Size]byte, err error) {
	if _, err := os.Stat(name + ".sig2"); err != nil {
		return digest, err
	}
	f, err := os.Open(name)
	if err != nil {
		return digest, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return digest, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

func rate(n int64, d time.Duration) uint64 {
	return uint64(float64(n) / max(d.Seconds(), 1e-6))
}

// humanize writes sizes as XBPS does: "1007B", "26MB".
func humanize(n uint64) string {
	for _, unit := range []string{"B", "KB", "MB", "GB"} {
		if n < 10000 || unit == "GB" {
			return fmt.Sprintf("%d%s", n, unit)
		}
		n /= 1024
	}
	panic("unreachable")
}
