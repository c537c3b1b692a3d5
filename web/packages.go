package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Snapshot is what the package repositories had at one instant.
type Snapshot struct {
	Name         string    `json:"name"`
	Time         time.Time `json:"time"`
	Automatic    bool      `json:"automatic,omitempty"` // goes when no host needs it
	Origin       string    `json:"origin,omitempty"`    // of an imported one: the key that signed its bundle
	Repositories []string  `json:"repositories"`        // paths of the indexes
	Hosts        []string  `json:"hosts,omitempty"`     // that were installed from it, or are to be
}

// Step is how far a long work has come.
type Step struct {
	What  string `json:"what"`
	Done  int    `json:"done"` // files
	Of    int    `json:"of"`
	Bytes int64  `json:"bytes"` // of the files that are done
	Size  int64  `json:"size"`  // of all
}

// Imported is what an import brought.
type Imported struct {
	Snapshot string `json:"snapshot"`
	By       string `json:"by"`  // the appliance that exported it
	Key      string `json:"key"` // which signed it
	Packages int    `json:"packages"`
	Files    string `json:"files,omitempty"` // folder with the other appliance's configuration
}

// Export is a bundle that is ready to be sent.
type Export struct {
	Key      string // public: the other site must be told it
	KeyMade  bool   // just now
	Packages int
	Size     int64
	Write    func(io.Writer) error
}

// Packages is the appliance's mirror as the operators' requests need it.
type Packages interface {
	Snapshots() []Snapshot // the newest first
	Freeze(ctx context.Context, name string, step func(Step)) (Snapshot, error)
	Complete(ctx context.Context, name string, step func(Step)) (Snapshot, error)
	Thaw(name string) error
	Export(ctx context.Context, name string) (Export, error)
	// Import takes bundles signed by key, or by anyone with an empty key and trust.
	Import(ctx context.Context, r io.Reader, key string, trust bool) (Imported, error)
}

// freeze is the body of a request for a new snapshot.
type freeze struct {
	Name string `json:"name"`
}

// Paths of the packages.
const (
	pathSnapshots = "/v1/snapshots"
	pathSnapshot  = "/v1/snapshots/{ref}"
	pathComplete  = "/v1/snapshots/{ref}/complete"
	pathExport    = "/v1/snapshots/{ref}/export"
	pathImport    = "/v1/import"
)

// Headers of an export.
const (
	headerKey      = "Provision-Key"
	headerKeyMade  = "Provision-Key-Made"
	headerPackages = "Provision-Packages"
)

// errNoMirror refuses what needs the mirror.
var errNoMirror = &Error{Code: CodeState, Message: "images.repository is a folder: snapshots need images.upstream"}

func (s *Server) packages() (Packages, error) {
	if s.Packages == nil {
		return nil, errNoMirror
	}
	return s.Packages, nil
}

// checkSnapshot refuses the name of none.
func (s *Server) checkSnapshot(name string) error {
	p, err := s.packages()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(p.Snapshots(), func(other Snapshot) bool { return other.Name == name }) {
		return &Error{Code: CodeUnknown, Message: "there is no snapshot " + strconv.Quote(name) + "; provision images snapshots lists them"}
	}
	return nil
}

func (s *Server) listSnapshots(w http.ResponseWriter, _ *http.Request) error {
	p, err := s.packages()
	if err != nil {
		return err
	}
	all := p.Snapshots()
	if all == nil {
		all = []Snapshot{}
	}
	return answer(w, all)
}

func (s *Server) freeze(w http.ResponseWriter, r *http.Request) error {
	var req freeze
	if err := decode(r, &req); err != nil {
		return err
	}
	p, err := s.packages()
	if err != nil {
		return err
	}
	return long(s, w, r, func(step func(Step)) (*Snapshot, error) {
		return snapshotOf(p.Freeze(r.Context(), req.Name, step))
	})
}

func (s *Server) completeSnapshot(w http.ResponseWriter, r *http.Request) error {
	p, err := s.packages()
	if err != nil {
		return err
	}
	return long(s, w, r, func(step func(Step)) (*Snapshot, error) {
		return snapshotOf(p.Complete(r.Context(), r.PathValue("ref"), step))
	})
}

// snapshotOf is no snapshot where there is an error.
func snapshotOf(s Snapshot, err error) (*Snapshot, error) {
	if err != nil {
		return nil, err
	}
	return &s, nil
}

func (s *Server) thaw(w http.ResponseWriter, r *http.Request) error {
	p, err := s.packages()
	if err != nil {
		return err
	}
	if err := p.Thaw(r.PathValue("ref")); err != nil {
		return err
	}
	return answer(w, struct{}{})
}

func (s *Server) export(w http.ResponseWriter, r *http.Request) error {
	p, err := s.packages()
	if err != nil {
		return err
	}
	e, err := p.Export(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/x-tar", "Content-Length": strconv.FormatInt(e.Size, 10),
		headerKey: e.Key, headerKeyMade: strconv.FormatBool(e.KeyMade), headerPackages: strconv.Itoa(e.Packages),
	} {
		w.Header().Set(name, value)
	}
	if err := e.Write(w); err != nil && r.Context().Err() == nil {
		// The answer is shorter than its length then, and the client says so.
		s.Log.Error("export", "err", err)
	}
	return nil
}

func (s *Server) importBundle(w http.ResponseWriter, r *http.Request) error {
	p, err := s.packages()
	if err != nil {
		return err
	}
	trust, err := strconv.ParseBool(r.URL.Query().Get("trust"))
	if err != nil {
		return fmt.Errorf("%w: trust: %w", ErrInvalid, err)
	}
	in, err := p.Import(r.Context(), r.Body, r.URL.Query().Get("key"), trust)
	if err != nil {
		// A client that is still sending would find a closed connection, and not the
		// refusal. The socket is local: the rest takes no time.
		_, _ = io.Copy(io.Discard, r.Body)
		return err
	}
	return answer(w, in)
}
