package mirror_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"provision.internal/xbps/mirror"
)

const (
	fooFile = "current/foo-1.0_1.x86_64.xbps"
	fooSize = 500_000
)

// one is a site whose upstream has the package foo.
func one(t *testing.T, change ...func(*mirror.Config)) (*upstream, *site, []byte) {
	t.Helper()
	u := newUpstream(t)
	foo := u.publish("current", "foo-1.0_1", fooSize)
	return u, newSite(t, u, change...), foo
}

// cut ends the answer to r in the middle of its content, without a word.
func cut(w http.ResponseWriter, body []byte, from, to int) {
	status := http.StatusOK
	if from > 0 {
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)-from))
	w.WriteHeader(status)
	_, _ = w.Write(body[from:to]) // whoever hangs up does not matter here
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func isPackage(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".xbps") }

// kept lists what is in the mirror's folder of packages, and on its way.
func (s *site) kept() (packages, incoming int) {
	s.t.Helper()
	count := func(pattern string) int {
		files, err := filepath.Glob(filepath.Join(s.cfg.Dir, pattern))
		if err != nil {
			s.t.Fatal(err)
		}
		return len(files)
	}
	return count("packages/" + strings.Repeat("?", 64)), count("incoming/*")
}

// noneKept fails the test when a part of a package stayed.
func (s *site) noneKept() {
	s.t.Helper()
	if packages, _ := s.kept(); packages != 0 {
		s.t.Errorf("%d packages were kept", packages)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		_, incoming := s.kept()
		if incoming == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%d files of broken transfers were left", incoming)
		}
	}
}

func TestTwentyClientsCauseOneFetch(t *testing.T) {
	u, s, foo := one(t)
	const clients = 20
	first := make(chan struct{})
	u.misbehave(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if isPackage(r) {
			<-first // so that all of them are there before the end
		}
		return false
	})
	var wg sync.WaitGroup
	var right atomic.Int32
	for i := range clients {
		wg.Go(func() {
			a, err := fetch(t.Context(), s.front.URL+"/"+fooFile)
			if err == nil && bytes.Equal(a.body, foo) {
				right.Add(1)
			}
		})
		if i == clients/2 {
			close(first)
		}
	}
	wg.Wait()
	if right.Load() != clients || u.times(fooFile) != 1 || u.times(fooFile+".sig2") != 1 {
		t.Errorf("%d of %d clients have it, upstream was asked %d times, and %d for the signature", right.Load(), clients, u.times(fooFile), u.times(fooFile+".sig2"))
	}
}

func TestClientsAreFedWhileItArrives(t *testing.T) {
	bothFronts(t, func(t *testing.T, behind func(*site)) {
		u, s, foo := one(t)
		behind(s)
		rest := make(chan struct{})
		u.misbehave(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			if !isPackage(r) {
				return false
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body[:len(body)-1])
			w.(http.Flusher).Flush()
			<-rest
			_, _ = w.Write(body[len(body)-1:])
			return true
		})
		res, err := http.Get(s.front.URL + "/" + fooFile)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		// All but what is withheld comes before upstream has sent its last byte.
		early := make([]byte, len(foo)-mirror.Withheld)
		if _, err := io.ReadFull(res.Body, early); err != nil || !bytes.Equal(early, foo[:len(early)]) {
			t.Fatalf("the first %d bytes: %v", len(early), err)
		}
		// A machine that has a part asks for the rest, and gets it from the same transfer.
		part := make(chan answer)
		go func() {
			a, err := fetch(t.Context(), s.front.URL+"/"+fooFile, "Range", "bytes=400000-")
			if err != nil {
				t.Error(err)
			}
			part <- a
		}()
		close(rest)
		late, err := io.ReadAll(res.Body)
		if err != nil || !bytes.Equal(late, foo[len(early):]) {
			t.Errorf("the last %d bytes: %v", len(late), err)
		}
		if a := <-part; a.status != http.StatusPartialContent || !bytes.Equal(a.body, foo[400000:]) {
			t.Errorf("the range: status %d, %d bytes", a.status, len(a.body))
		}
	})
}

func TestBrokenTransferIsResumed(t *testing.T) {
	for name, c := range map[string]struct {
		fault  func(w http.ResponseWriter, r *http.Request, body []byte, n int) bool
		ranges string // that upstream was asked for at the end
	}{
		"cut in the middle": {func(w http.ResponseWriter, r *http.Request, body []byte, n int) bool {
			if n == 1 {
				cut(w, body, 0, 300_000)
			}
			return false
		}, "bytes=300000-"},
		"cut many times": {func(w http.ResponseWriter, r *http.Request, body []byte, n int) bool {
			if n <= 8 {
				cut(w, body, (n-1)*50_000, n*50_000)
			}
			return false
		}, "bytes=400000-"},
		"an upstream without ranges": {func(w http.ResponseWriter, r *http.Request, body []byte, n int) bool {
			if n == 1 {
				cut(w, body, 0, 300_000)
			}
			_, _ = w.Write(body)
			return true
		}, ""},
		"errors at first": {func(w http.ResponseWriter, r *http.Request, body []byte, n int) bool {
			if n <= 3 {
				http.Error(w, "overloaded", http.StatusInternalServerError)
			}
			return n <= 3
		}, ""},
		"silence": {func(w http.ResponseWriter, r *http.Request, body []byte, n int) bool {
			if n == 1 {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
				_, _ = w.Write(body[:300_000])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
			return n == 1
		}, "bytes=300000-"},
	} {
		t.Run(name, func(t *testing.T) {
			u, s, foo := one(t, func(c *mirror.Config) { c.Patience = 300 * time.Millisecond })
			var n atomic.Int32
			u.misbehave(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				return isPackage(r) && c.fault(w, r, body, int(n.Add(1)))
			})
			s.want(fooFile, foo)
			u.misbehave(nil)
			s.want(fooFile, foo)
			if got := strings.Join(u.ranges, " "); got != c.ranges {
				t.Errorf("upstream was asked for the ranges %q, want %q", got, c.ranges)
			}
			if packages, _ := s.kept(); packages != 1 {
				t.Errorf("%d packages were kept, want 1", packages)
			}
		})
	}
}

// What cannot be had whole and right never reaches a client as whole, and nothing of it stays.
func TestBrokenPackageIsNeverWhole(t *testing.T) {
	bothFronts(t, func(t *testing.T, behind func(*site)) {
		for name, c := range map[string]struct {
			fault  func(w http.ResponseWriter, r *http.Request, body []byte) bool
			status int // 200: the answer begins, and ends too early
			notice string
		}{
			"cut for ever": {func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if !isPackage(r) {
					return false
				}
				if r.Header.Get("Range") != "" {
					http.Error(w, "down", http.StatusBadGateway)
					return true
				}
				cut(w, body, 0, 300_000)
				return true
			}, http.StatusOK, ""},
			"another content": {func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if isPackage(r) {
					_, _ = w.Write(append(bytes.Clone(body[:len(body)-1]), body[len(body)-1]+1))
				}
				return isPackage(r)
			}, http.StatusOK, fooFile + ": what upstream sent is not what its index names: its SHA-256 is"},
			"another content after a break": {func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if !isPackage(r) {
					return false
				}
				if r.Header.Get("Range") == "" {
					cut(w, body, 0, 300_000)
				}
				cut(w, bytes.Repeat([]byte("x"), len(body)), 300_000, len(body))
				return true
			}, http.StatusOK, "its SHA-256 is"},
			"too short": {func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if isPackage(r) {
					_, _ = w.Write(body[:1000])
				}
				return isPackage(r)
			}, http.StatusBadGateway, "it has 1000 bytes, wanted 500000"},
			"too long": {func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if isPackage(r) {
					w.Header().Set("Content-Length", "500001")
					_, _ = w.Write(append(bytes.Clone(body), 'x'))
				}
				return isPackage(r)
			}, http.StatusBadGateway, "it has 500001 bytes, wanted 500000"},
			"a wrong range": {func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if !isPackage(r) {
					return false
				}
				if r.Header.Get("Range") == "" {
					cut(w, body, 0, 300_000)
				}
				w.Header().Set("Content-Range", "bytes 0-199999/500000")
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(body[:200_000])
				return true
			}, http.StatusOK, "it sent the range"},
			"a wrong signature": {func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if strings.HasSuffix(r.URL.Path, ".sig2") {
					_, _ = w.Write(append(bytes.Clone(body[:len(body)-1]), body[len(body)-1]+1))
					return true
				}
				return false
			}, http.StatusBadGateway, fooFile + ".sig2: what upstream sent is not what its index names: the signature is not valid"},
			"a huge signature": {func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if strings.HasSuffix(r.URL.Path, ".sig2") {
					_, _ = w.Write(make([]byte, 1<<20))
					return true
				}
				return false
			}, http.StatusBadGateway, "too large to be a signature"},
			"no signature": {func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if strings.HasSuffix(r.URL.Path, ".sig2") {
					http.NotFound(w, r)
					return true
				}
				return false
			}, http.StatusNotFound, fooFile + ".sig2: upstream no longer has it"},
			"errors": {func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if isPackage(r) {
					http.Error(w, "down", http.StatusInternalServerError)
				}
				return isPackage(r)
			}, http.StatusBadGateway, ""},
		} {
			t.Run(name, func(t *testing.T) {
				u, s, foo := one(t)
				behind(s)
				u.misbehave(c.fault)
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						a, err := fetch(t.Context(), s.front.URL+"/"+fooFile)
						if err != nil {
							t.Error(err)
							return
						}
						// Who asks when it has broken already is refused at once.
						began := c.status == http.StatusOK && a.status == c.status && a.short && len(a.body) < len(foo)
						if !began && (a.status < 400 || c.status != http.StatusOK && a.status != c.status) {
							t.Errorf("status %d, %d bytes, short %t; want %d, and no whole file", a.status, len(a.body), a.short, c.status)
						}
					})
				}
				wg.Wait()
				s.noneKept()
				if c.notice != "" && !s.told(c.notice) {
					t.Errorf("notices %q, want one with %q", s.texts(), c.notice)
				}
				u.misbehave(nil)
				s.want(fooFile, foo)
			})
		}
	})
}

// A transfer goes on when its client has left: the next one wants it too.
func TestTransferOutlivesItsClient(t *testing.T) {
	u, s, foo := one(t)
	res, err := http.Get(s.front.URL + "/" + fooFile)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close() // without reading it
	s.want(fooFile, foo)
	if n := u.times(fooFile); n != 1 {
		t.Errorf("upstream was asked %d times, want once", n)
	}
}
