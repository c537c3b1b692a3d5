package xbps

import (
	"errors"
	"fmt"
	"io"
)

// Limits on what a package may make us keep in memory.
const (
	maxPlist  = 128 << 20
	maxScript = 1 << 20
	// maxUnpacked bounds a whole package: the largest of Void's (debug symbols of
	// browsers) have some gigabytes.
	maxUnpacked = 16 << 30
)

// Archive reads a package file. Its fields are what precedes the payload.
type Archive struct {
	Props    Package
	RawProps []byte // props.plist itself
	List     FileList
	RawList  []byte // files.plist itself, as /var/db/xbps keeps it
	Install  []byte // the INSTALL script, if there is one
	Remove   []byte // likewise
	tarball  *Tarball
}

// OpenArchive reads a package up to its payload. It verifies nothing: see
// Keys.Verify and Repository.Open.
func OpenArchive(r io.Reader) (*Archive, error) {
	t, err := OpenTarball(r, maxUnpacked)
	if err != nil {
		return nil, err
	}
	a := &Archive{tarball: t}
	if err := a.metadata(); err != nil {
		t.Close()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("no package: %w", err)
	}
	return a, nil
}

// metadata reads members until files.plist, which XBPS has last.
func (a *Archive) metadata() error {
	for a.RawList == nil {
		f, err := a.tarball.Next()
		if err != nil {
			return err
		}
		switch f.Path {
		case "INSTALL":
			a.Install, err = a.slurp(f, maxScript)
		case "REMOVE":
			a.Remove, err = a.slurp(f, maxScript)
		case "props.plist":
			if a.RawProps, err = a.slurp(f, maxPlist); err == nil {
				err = unmarshal(a.RawProps, &a.Props)
			}
		case "files.plist":
			if a.RawList, err = a.slurp(f, maxPlist); err == nil {
				err = unmarshal(a.RawList, &a.List)
			}
		default:
			return fmt.Errorf("%s comes before files.plist", f.Path)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	if a.RawProps == nil {
		return errors.New("it has no props.plist")
	}
	return a.Props.check()
}

func (a *Archive) slurp(f File, limit int64) ([]byte, error) {
	if !f.Mode.IsRegular() || f.Link != "" {
		return nil, errors.New("no regular file")
	}
	if f.Size > limit {
		return nil, fmt.Errorf("%d bytes, more than %d", f.Size, limit)
	}
	// Grows with what arrives: a size in a header proves nothing.
	return io.ReadAll(a.tarball)
}

// Next goes to the next file of the payload, io.EOF at the end.
func (a *Archive) Next() (File, error) { return a.tarball.Next() }

// Read reads the content of the file that Next returned last.
func (a *Archive) Read(p []byte) (int, error) { return a.tarball.Read(p) }

// Close releases the decoder.
func (a *Archive) Close() error { return a.tarball.Close() }
