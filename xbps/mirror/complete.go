package mirror

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"provision.internal/xbps"
)

// Want is a set of packages that are installed together.
type Want struct {
	For      string   // whom, for messages: "role worker"
	Arch     string   // of the system
	Folders  []string // repositories below upstream, the first wins
	Packages []string // names, patterns or pkgvers
	Alone    bool     // without what they depend on: Packages are pkgvers then
}

// Progress is how far a long work has come.
type Progress struct {
	What  string `json:"what"`  // "packages", or the file that has just come
	Done  int    `json:"done"`  // files
	Of    int    `json:"of"`    // files
	Bytes int64  `json:"bytes"` // of the files that are done
	Size  int64  `json:"size"`  // of all files
}

// needs resolves wants in s, and returns the package files sorted by path.
func (m *Mirror) needs(ctx context.Context, s Snapshot, wants []Want) ([]needed, error) {
	indexes := map[string]*Frozen{}
	open := func(path, arch string) (*Frozen, error) {
		key := Repository{path, arch}.path()
		if f, ok := indexes[key]; ok {
			return f, nil
		}
		f, err := m.Repository(s, path, arch)
		if err == nil {
			indexes[key] = f
		}
		return f, err
	}
	all := map[string]needed{}
	for _, want := range wants {
		var folders []*Frozen
		var list []*xbps.Index
		for _, path := range want.Folders {
			f, err := open(path, want.Arch)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", want.For, err)
			}
			folders, list = append(folders, f), append(list, f.Index)
		}
		choices, err := want.choose(list)
		if err != nil {
			return nil, fmt.Errorf("%s on %s: %w", want.For, want.Arch, err)
		}
		for _, c := range choices {
			f := folders[c.Repository]
			r, ok := f.table.find(c.File())
			if !ok {
				return nil, fmt.Errorf("%s: the index's table lacks it", c.File())
			}
			path := join(f.path, r.file)
			all[path] = needed{r, path, f.table.key}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b needed) int { return cmp.Compare(a.path, b.path) }), nil
}

// choose returns the packages that the want is for.
func (w Want) choose(indexes []*xbps.Index) ([]xbps.Choice, error) {
	if !w.Alone {
		return xbps.Resolve(indexes, w.Packages, nil)
	}
	var all []xbps.Choice
	for _, pkgver := range w.Packages {
		i := slices.IndexFunc(indexes, func(x *xbps.Index) bool {
			name, _, _ := xbps.SplitPkgver(pkgver)
			return x.Packages[name].Pkgver == pkgver
		})
		if i < 0 {
			return nil, fmt.Errorf("%s: not found in repository pool", pkgver)
		}
		name, _, _ := xbps.SplitPkgver(pkgver)
		all = append(all, xbps.Choice{Package: indexes[i].Packages[name], Repository: i})
	}
	return all, nil
}

// atOnce is how many packages Complete fetches at the same time.
const atOnce = 4

// Complete fetches and verifies all packages that wants need in s, with what they depend on, so
// that upstream may drop them. It calls progress, when that is set, after each.
func (m *Mirror) Complete(ctx context.Context, s Snapshot, wants []Want, progress func(Progress)) error {
	files, err := m.needs(ctx, s, wants)
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", s.Name, err)
	}
	p := Progress{What: "packages", Of: len(files)}
	for _, f := range files {
		p.Size += f.size
	}
	var mu sync.Mutex
	tell := func(n *needed) {
		mu.Lock()
		defer mu.Unlock()
		if n != nil {
			p.What, p.Done, p.Bytes = n.file, p.Done+1, p.Bytes+n.size
		}
		if progress != nil {
			progress(p)
		}
	}
	tell(nil)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, n := range files {
		group.Go(func() error {
			f, err := m.openWhole(ctx, n)
			if err != nil {
				return err
			}
			tell(&n)
			return f.Close()
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("snapshot %s: %w", s.Name, err)
	}
	return nil
}
