package xbps

import (
	"errors"
	"fmt"
	"slices"
)

// maxChain is how deep XBPS follows dependencies.
const maxChain = 512

// Choice is a package that Resolve chose.
type Choice struct {
	Package
	Repository int  // place in the list of indexes
	Automatic  bool // wanted by other packages only
}

// Resolve chooses the packages that wanted (names, patterns or pkgvers) needs on a system
// that has installed, in the order of installation: what a package depends on
// precedes it, as far as there is no circle. Repositories are asked in their order
// and the first with a match wins; real packages come before virtual ones.
// All that is missing is reported at once.
func Resolve(repositories []*Index, wanted []string, installed []Package) ([]Choice, error) {
	r := &resolver{repositories: repositories, installed: installed, byName: map[string]bool{}}
	for _, w := range wanted {
		if r.has(w) {
			continue
		}
		c, ok := r.find(w)
		if !ok {
			r.fault("%s: not found in repository pool", w)
			continue
		}
		r.add(c, false)
	}
	// What was wanted by name is not automatic, even if a dependency came first.
	for i, c := range r.chosen {
		if slices.ContainsFunc(wanted, func(w string) bool { return satisfies(c.Package, w) }) {
			r.chosen[i].Automatic = false
		}
	}
	r.conflicts()
	return r.chosen, errors.Join(r.faults...)
}

type resolver struct {
	repositories []*Index
	installed    []Package
	chosen       []Choice
	byName       map[string]bool // the packages chosen or under way
	underway     []Package       // those that wait for their dependencies
	faults       []error
}

func (r *resolver) fault(format string, a ...any) {
	r.faults = append(r.faults, fmt.Errorf(format, a...))
}

// has reports whether dep is satisfied by what is installed, chosen or under way.
func (r *resolver) has(dep string) bool {
	is := func(p Package) bool { return satisfies(p, dep) }
	return slices.ContainsFunc(r.installed, is) || slices.ContainsFunc(r.underway, is) ||
		slices.ContainsFunc(r.chosen, func(c Choice) bool { return is(c.Package) })
}

// add chooses c after its dependencies.
func (r *resolver) add(c Choice, automatic bool) {
	name := c.Name()
	if len(r.underway) >= maxChain {
		r.fault("%s: a chain of more than %d dependencies", c.Pkgver, maxChain)
		return
	}
	if r.byName[name] {
		r.fault("%s: another version of it is needed at the same time", c.Pkgver)
		return
	}
	r.byName[name] = true
	r.underway = append(r.underway, c.Package)
	for _, dep := range c.Depends {
		if _, ok := DependencyName(dep); !ok {
			r.fault("%s depends on %q, which is no pattern", c.Pkgver, dep)
			continue
		}
		if r.has(dep) {
			continue
		}
		d, ok := r.find(dep)
		if !ok {
			r.fault("%s depends on %s: not found in repository pool", c.Pkgver, dep)
			continue
		}
		r.add(d, true)
	}
	r.underway = r.underway[:len(r.underway)-1]
	c.Automatic = automatic
	r.chosen = append(r.chosen, c)
}

// find looks a dependency or a wanted package up in the repositories.
func (r *resolver) find(dep string) (Choice, bool) {
	name, ok := DependencyName(dep)
	if !ok {
		name = dep
	}
	for i, x := range r.repositories {
		if p, ok := x.Packages[name]; ok && matches(p.Pkgver, dep) {
			return Choice{Package: p, Repository: i}, true
		}
	}
	for i, x := range r.repositories {
		if p, ok := x.provider(dep); ok {
			return Choice{Package: p, Repository: i}, true
		}
	}
	return Choice{}, false
}

// provider returns the package, the first by name, that provides dep.
func (x *Index) provider(dep string) (Package, bool) {
	var best Package
	for _, p := range x.Packages {
		if (best.Pkgver == "" || p.Name() < best.Name()) && provides(p, dep) {
			best = p
		}
	}
	return best, best.Pkgver != ""
}

// satisfies reports whether p is what dep asks for, by itself or by what it
// provides.
func satisfies(p Package, dep string) bool { return matches(p.Pkgver, dep) || provides(p, dep) }

func provides(p Package, dep string) bool {
	return slices.ContainsFunc(p.Provides, func(virtual string) bool { return matches(virtual, dep) })
}

// matches reports whether pkgver is what dep, a name, pkgver or pattern, asks for.
func matches(pkgver, dep string) bool {
	if isPattern(dep) {
		return Match(pkgver, dep)
	}
	if pkgver == dep {
		return true
	}
	name, _, ok := SplitPkgver(pkgver)
	return ok && name == dep
}

func (r *resolver) conflicts() {
	all := slices.Clone(r.installed)
	for _, c := range r.chosen {
		all = append(all, c.Package)
	}
	for _, p := range all {
		for _, pattern := range p.Conflicts {
			for _, other := range all {
				if other.Name() != p.Name() && satisfies(other, pattern) {
					r.fault("%s and %s exclude each other", p.Pkgver, other.Pkgver)
				}
			}
		}
	}
}
