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
// and the first with a match wins; real packages come before virtual ones. What another
// chosen package replaces is left out.
// All that is missing is reported at once.
func Resolve(repositories []*Index, wanted []string, installed []Package) ([]Choice, error) {
	r := &resolver{repositories: repositories, installed: installed}
	// All that was asked for is chosen before any dependency is looked at, and so
	// serves as one.
	for _, w := range wanted {
		if r.has(w) {
			continue
		}
		c, ok := r.find(w)
		if !ok {
			r.fault("%s: not found in repository pool", w)
			continue
		}
		r.choose(c)
	}
	for _, c := range r.chosen {
		r.follow(c.Package, 1)
	}
	for i, c := range r.chosen {
		r.chosen[i].Automatic = !slices.ContainsFunc(wanted, func(w string) bool { return satisfies(c.Package, w) })
	}
	r.replace()
	r.conflicts()
	return r.inOrder(), errors.Join(r.faults...)
}

type resolver struct {
	repositories []*Index
	installed    []Package
	chosen       []Choice
	faults       []error
}

func (r *resolver) fault(format string, a ...any) {
	r.faults = append(r.faults, fmt.Errorf(format, a...))
}

// has reports whether dep is satisfied by what is installed or chosen.
func (r *resolver) has(dep string) bool {
	return slices.ContainsFunc(r.installed, func(p Package) bool { return satisfies(p, dep) }) ||
		slices.ContainsFunc(r.chosen, func(c Choice) bool { return satisfies(c.Package, dep) })
}

func (r *resolver) choose(c Choice) bool {
	if slices.ContainsFunc(r.chosen, func(other Choice) bool { return other.Name() == c.Name() }) {
		r.fault("%s: another version of it is needed at the same time", c.Pkgver)
		return false
	}
	r.chosen = append(r.chosen, c)
	return true
}

// follow chooses what p depends on and is not there yet, and what that depends on.
func (r *resolver) follow(p Package, depth int) {
	if depth > maxChain {
		r.fault("%s: a chain of more than %d dependencies", p.Pkgver, maxChain)
		return
	}
	for _, dep := range p.Depends {
		if _, ok := DependencyName(dep); !ok {
			r.fault("%s depends on %q, which is no pattern", p.Pkgver, dep)
			continue
		}
		if r.has(dep) {
			continue
		}
		d, ok := r.find(dep)
		if !ok {
			r.fault("%s depends on %s: not found in repository pool", p.Pkgver, dep)
			continue
		}
		if r.choose(d) {
			r.follow(d.Package, depth+1)
		}
	}
}

// inOrder sorts what was chosen so that dependencies come first.
func (r *resolver) inOrder() []Choice {
	var sorted []Choice
	visited := make([]bool, len(r.chosen))
	var visit func(i int)
	visit = func(i int) {
		if visited[i] {
			return
		}
		visited[i] = true
		for _, dep := range r.chosen[i].Depends {
			if j := slices.IndexFunc(r.chosen, func(c Choice) bool { return satisfies(c.Package, dep) }); j >= 0 {
				visit(j)
			}
		}
		sorted = append(sorted, r.chosen[i])
	}
	for i := range r.chosen {
		visit(i)
	}
	return sorted
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

// replace drops what a chosen package replaces: XBPS marks it for removal in the
// same transaction.
func (r *resolver) replace() {
	replaced := func(p Package) bool {
		return slices.ContainsFunc(r.chosen, func(by Choice) bool {
			return by.Name() != p.Name() && slices.ContainsFunc(by.Replaces, func(pattern string) bool { return matches(p.Pkgver, pattern) })
		})
	}
	gone := map[string]bool{}
	for _, c := range r.chosen {
		gone[c.Name()] = replaced(c.Package)
	}
	r.chosen = slices.DeleteFunc(r.chosen, func(c Choice) bool { return gone[c.Name()] })
	r.installed = slices.DeleteFunc(slices.Clone(r.installed), replaced)
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
