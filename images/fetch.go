package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Fetcher fetches files over HTTP. Its zero value is ready for use.
type Fetcher struct {
	Client   *http.Client                        // nil means http.DefaultClient
	Progress func(name string, done, size int64) // called often while a file arrives; size is -1 while it is unknown
	Note     func(text string)                   // what a person should know although the work goes on
	Pause    time.Duration                       // before a broken transfer goes on, doubled each time; 0 means a second
	Stall    time.Duration                       // without a byte, after which a transfer counts as broken; 0 means half a minute
}

const (
	// maxBroken is how often a transfer may break in a row without a byte in between.
	maxBroken = 5
	// maxFetched bounds a file whatever its server says.
	maxFetched = 8 << 30
)

// ErrFetch is wrapped when a file could not be fetched; what has arrived is
// kept, and the next attempt goes on from there.
var ErrFetch = errors.New("not fetched")

// final marks an error that another attempt would meet again.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// fetch brings the file at url, whose SHA-256 is known, into the store, unless it
// is there. What an earlier call left half is gone on with.
func (s *Store) fetch(ctx context.Context, f *Fetcher, url, sum string) error {
	if old, err := s.File(sum); err == nil {
		return old.Close()
	}
	part, err := os.OpenFile(filepath.Join(s.dir, ".part-"+sum), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	defer part.Close()
	resumed, err := part.Seek(0, io.SeekEnd)
	if err == nil {
		err = f.whole(ctx, url, part)
	}
	if err != nil {
		if kept, _ := part.Seek(0, io.SeekEnd); kept == 0 {
			err = errors.Join(err, os.Remove(part.Name())) // there is nothing to go on with
		}
		return err
	}
	got, err := hashAll(part)
	if err == nil && got != sum && resumed > 0 {
		// The half from before may be what is wrong.
		if err = part.Truncate(0); err == nil {
			err = f.whole(ctx, url, part)
		}
		if err == nil {
			got, err = hashAll(part)
		}
	}
	if err != nil {
		return err
	}
	if got != sum {
		return errors.Join(fmt.Errorf("%s is not what was signed: its SHA-256 is %s, wanted %s; nothing of it was kept: fetch it from another mirror (images.upstream)", url, got, sum), os.Remove(part.Name()))
	}
	return s.adopt(part, sum)
}

// adopt gives a whole file its name.
func (s *Store) adopt(part *os.File, sum string) error {
	err := errors.Join(part.Chmod(0o444), part.Sync())
	if err == nil {
		err = os.Rename(part.Name(), filepath.Join(s.dir, sum))
	}
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	return syncDir(s.dir)
}

func hashAll(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("image store: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// whole appends to part until it has all of url, however often the transfer
// breaks, as long as something arrives.
func (f *Fetcher) whole(ctx context.Context, url string, part *os.File) error {
	pause := f.Pause
	if pause <= 0 {
		pause = time.Second
	}
	broken, wait := 0, pause
	for {
		before, err := part.Seek(0, io.SeekEnd)
		if err != nil {
			return fmt.Errorf("image store: %w", err)
		}
		err = f.more(ctx, url, part, before)
		after, seekErr := part.Seek(0, io.SeekEnd)
		var stop final
		switch {
		case err == nil:
			return seekErr
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w: %w; %d bytes are kept", url, ErrFetch, ctx.Err(), after)
		case errors.As(err, &stop):
			return fmt.Errorf("%s: %w: %w", url, ErrFetch, stop.error)
		case after > before:
			broken, wait = 0, pause
		}
		if broken++; broken >= maxBroken {
			return fmt.Errorf("%s: %w: %w; %d bytes are kept: look at the network, then run it again to go on from there", url, ErrFetch, err, after)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			wait *= 2
		}
	}
}

// more makes one request for what follows the first have bytes.
func (f *Fetcher) more(ctx context.Context, url string, part *os.File, have int64) error {
	stall := f.Stall
	if stall <= 0 {
		stall = 30 * time.Second
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stall, func() { cancel(fmt.Errorf("nothing arrived for %s", stall)) })
	defer watch.Stop()
	err := f.request(ctx, url, part, have, func() { watch.Reset(stall) })
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (f *Fetcher) request(ctx context.Context, url string, part *os.File, have int64, alive func()) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return final{err}
	}
	req.Header.Set("Accept-Encoding", "identity") // the range is of the file, not of a compressed form
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := f.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	size := int64(-1)
	switch resp.StatusCode {
	case http.StatusOK: // no ranges here: from the start
		if err := part.Truncate(0); err != nil {
			return final{err}
		}
		have, size = 0, resp.ContentLength
	case http.StatusPartialContent:
		from, total := contentRange(resp.Header.Get("Content-Range"))
		if from != have {
			return final{fmt.Errorf("the server sent another range (%q) than from byte %d", resp.Header.Get("Content-Range"), have)}
		}
		size = total
	case http.StatusRequestedRangeNotSatisfiable:
		if _, total := contentRange(resp.Header.Get("Content-Range")); total == have {
			return nil // it was whole, and not yet checked
		}
		if err := part.Truncate(0); err != nil {
			return final{err}
		}
		return errors.New("the server has less than what is kept; starting again")
	default:
		return refusal(resp)
	}
	if size > maxFetched {
		return final{fmt.Errorf("%d bytes are more than any file of a release has", size)}
	}
	if _, err := part.Seek(have, io.SeekStart); err != nil {
		return final{err}
	}
	progress := &counted{r: resp.Body, done: have, told: func(done int64) {
		alive()
		if f.Progress != nil {
			f.Progress(nameOf(url), done, size)
		}
	}}
	n, err := io.Copy(part, io.LimitReader(progress, maxFetched-have+1))
	switch {
	case err != nil:
		return err
	case have+n > maxFetched:
		return errors.Join(final{fmt.Errorf("more than %d bytes", int64(maxFetched))}, part.Truncate(0))
	case size >= 0 && have+n != size:
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (f *Fetcher) client() *http.Client {
	if f.Client != nil {
		return f.Client
	}
	return http.DefaultClient
}

// refusal is the error of an answer without content; only what may pass is
// worth another attempt.
func refusal(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return final{errors.New("the mirror does not have it: look at images.upstream and images.release")}
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("the mirror answers %s", resp.Status)
	}
	return final{fmt.Errorf("the mirror answers %s", resp.Status)}
}

var rangeForm = regexp.MustCompile(`^bytes (?:(\d+)-\d+|\*)/(\d+|\*)$`)

// contentRange reads Content-Range (RFC 9110 §14.4); -1 stands for what it does
// not say.
func contentRange(text string) (from, total int64) {
	from, total = -1, -1
	m := rangeForm.FindStringSubmatch(text)
	if m == nil {
		return from, total
	}
	if n, err := strconv.ParseInt(m[1], 10, 64); err == nil {
		from = n
	}
	if n, err := strconv.ParseInt(m[2], 10, 64); err == nil {
		total = n
	}
	return from, total
}

// small fetches a file of at most limit bytes.
func (f *Fetcher) small(ctx context.Context, url string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.client().Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; look at the network and at images.upstream", ErrFetch, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %w: %w", url, ErrFetch, refusal(resp))
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %w", url, ErrFetch, err)
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("%s: more than %d bytes", url, limit)
	}
	return b, nil
}

func (f *Fetcher) note(text string) {
	if f.Note != nil {
		f.Note(text)
	}
}

func nameOf(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// counted tells how much has been read.
type counted struct {
	r    io.Reader
	done int64
	told func(int64)
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	c.told(c.done)
	return n, err
}
