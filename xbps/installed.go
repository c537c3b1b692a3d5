package xbps

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// DatabaseFile is where a system keeps what is installed on it, below its root.
const DatabaseFile = "var/db/xbps/pkgdb-0.38.plist"

// ReadInstalled reads the database of a system's packages and returns those
// that are installed, by name. It may have at most 128 MiB.
func ReadInstalled(r io.Reader) ([]Package, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPlist+1))
	if err != nil {
		return nil, fmt.Errorf("package database: %w", err)
	}
	if len(b) > maxPlist {
		return nil, fmt.Errorf("package database: more than %d bytes", maxPlist)
	}
	// Beside the packages there is _XBPS_ALTERNATIVES_, a dictionary of another kind.
	db := map[string]struct {
		Package
		State string `plist:"state"`
	}{}
	if err := unmarshal(b, &db); err != nil {
		return nil, fmt.Errorf("package database: %w", err)
	}
	var all []Package
	for _, name := range slices.Sorted(maps.Keys(db)) {
		p := db[name]
		if p.State != "installed" && p.State != "unpacked" {
			continue
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("package database: %w", err)
		}
		if p.Name() != name {
			return nil, fmt.Errorf("package database: %s is listed as %q", p.Pkgver, name)
		}
		all = append(all, p.Package)
	}
	return all, nil
}
