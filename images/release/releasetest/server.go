package releasetest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"provision.internal/images/release"
)

// Server serves one release. Its fields may be changed between requests, under
// Mutex when requests are under way.
type Server struct {
	*httptest.Server
	sync.Mutex
	Files map[string][]byte // by name, the signed list included

	Cut      int64         // bytes of content after which each answer breaks off; 0 means never
	Freeze   time.Duration // how long an answer stands still where it would break off
	NoRanges bool          // answers every request with the whole file
	Broken   int           // status of every answer, when set
	Requests []string      // file names, with the Range where there was one
}

// NewServer signs files as the release name with key and serves them.
func NewServer(key *Key, name string, files map[string][]byte) *Server {
	s := &Server{Files: maps.Clone(files)}
	var list strings.Builder
	for _, file := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&list, "SHA256 (%s) = %x\n", file, sha256.Sum256(files[file]))
	}
	s.Files[release.SumsFile] = []byte(list.String())
	s.Files[release.SignatureFile] = key.Sign([]byte(list.String()), name)
	s.Server = httptest.NewServer(http.StripPrefix("/"+release.Dir(name)+"/", http.HandlerFunc(s.serve)))
	return s
}

// Asked returns what has been requested since the last call.
func (s *Server) Asked() []string {
	s.Lock()
	defer s.Unlock()
	asked := s.Requests
	s.Requests = nil
	return asked
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	name := path.Base(r.URL.Path)
	s.Requests = append(s.Requests, strings.TrimSpace(name+" "+r.Header.Get("Range")))
	content, ok := s.Files[name]
	cut, freeze, status := s.Cut, s.Freeze, s.Broken
	if s.NoRanges {
		r.Header.Del("Range")
	}
	s.Unlock()
	switch {
	case status != 0:
		http.Error(w, "not now", status)
		return
	case !ok:
		http.NotFound(w, r)
		return
	case cut > 0 && int64(len(content)) > cut:
		w = &cutter{ResponseWriter: w, left: cut, freeze: freeze, gone: r.Context().Done()}
	}
	http.ServeContent(w, r, "", time.Unix(1738454400, 0), bytes.NewReader(content))
}

// cutter breaks an answer off.
type cutter struct {
	http.ResponseWriter
	left   int64
	freeze time.Duration
	gone   <-chan struct{}
}

// Write implements io.Writer.
func (c *cutter) Write(p []byte) (int, error) {
	if int64(len(p)) <= c.left {
		c.left -= int64(len(p))
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left]) // the client is about to be cut off
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	select {
	case <-c.gone:
	case <-time.After(c.freeze):
	}
	panic(http.ErrAbortHandler)
}
