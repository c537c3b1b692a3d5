package images

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// moduleSet is all modules of one kernel, by name.
type moduleSet struct {
	byName  map[string]module
	byAlias map[string]string // plain aliases ("crypto-crc32c") only
	builtin map[string]bool
}

func newModuleSet(all []module, builtin []string) *moduleSet {
	s := &moduleSet{byName: map[string]module{}, byAlias: map[string]string{}, builtin: map[string]bool{}}
	for _, m := range all {
		s.byName[m.name] = m
	}
	// In the order of names, so that the choice among several providers of one
	// alias is always the same.
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		for _, a := range s.byName[name].aliases {
			if _, ok := s.byAlias[a]; !ok && !strings.ContainsAny(a, "*?[") {
				s.byAlias[a] = name
			}
		}
	}
	for _, file := range builtin {
		s.builtin[moduleName(file)] = true
	}
	return s
}

// needs returns what m must be preceded by, for certain and where present.
func (s *moduleSet) needs(m module) (hard, soft []string) {
	for _, d := range m.depends {
		if !s.builtin[d] {
			hard = append(hard, d)
		}
	}
	for _, w := range slices.Concat(m.soft, companions[m.name]) {
		name := canonical(w)
		if _, ok := s.byName[name]; !ok {
			name, ok = s.byAlias[w]
			if !ok {
				if name, ok = s.byAlias["crypto-"+w]; !ok {
					continue
				}
			}
		}
		if name != m.name {
			soft = append(soft, name)
		}
	}
	return hard, soft
}

// order returns what must be loaded for m, m last.
func (s *moduleSet) order(name string) ([]module, error) {
	var out []module
	state := map[string]bool{} // present: met; true: done
	var visit func(name, by string) error
	visit = func(name, by string) error {
		if _, met := state[name]; met {
			return nil // done, or a circle of soft dependencies
		}
		m, ok := s.byName[name]
		if !ok {
			return fmt.Errorf("the kernel module %s needs %s, which the kernel's package does not have", by, name)
		}
		state[name] = false
		hard, soft := s.needs(m)
		for _, d := range slices.Concat(hard, soft) {
			if err := visit(d, name); err != nil {
				return err
			}
		}
		state[name] = true
		out = append(out, m)
		return nil
	}
	err := visit(name, name)
	return out, err
}

// selection is the part of a kernel's modules that the installer takes.
type selection struct {
	boot, late map[string]module // by path
	dep, alias string            // modules.dep and modules.alias for both
}

// choose selects by the lists of drivers.go.
func (s *moduleSet) choose() (*selection, error) {
	out := &selection{boot: map[string]module{}, late: map[string]module{}}
	names := slices.Sorted(maps.Keys(s.byName))
	for _, name := range names {
		if p := s.byName[name].path; listed(p, bootDrivers) && !listed(p, notBoot) {
			if err := s.take(name, out.boot, nil); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range names {
		if listed(s.byName[name].path, lateDrivers) {
			if err := s.take(name, out.late, out.boot); err != nil {
				return nil, err
			}
		}
	}
	return out, s.index(out)
}

func (s *moduleSet) take(name string, to, unless map[string]module) error {
	order, err := s.order(name)
	if err != nil {
		return err
	}
	for _, m := range order {
		if _, there := unless[m.path]; !there {
			to[m.path] = m
		}
	}
	return nil
}

// index writes modules.dep and modules.alias as depmod does. Soft dependencies
// count as hard ones: who loads by these files alone needs no other knowledge.
func (s *moduleSet) index(sel *selection) error {
	all := maps.Clone(sel.boot)
	maps.Copy(all, sel.late)
	var dep, alias strings.Builder
	for _, file := range slices.Sorted(maps.Keys(all)) {
		m := all[file]
		order, err := s.order(m.name)
		if err != nil {
			return err
		}
		slices.Reverse(order) // depmod lists what must be loaded first last
		dep.WriteString(packed(m.path) + ":")
		for _, d := range order[1:] {
			dep.WriteString(" " + packed(d.path))
		}
		dep.WriteString("\n")
		for _, a := range m.aliases {
			alias.WriteString("alias " + a + " " + m.name + "\n")
		}
	}
	sel.dep, sel.alias = dep.String(), alias.String()
	return nil
}

// packed is the path that a module has in the image: all are compressed with
// zstd, whatever the package has.
func packed(file string) string {
	plain, _, _ := strings.Cut(file, ".ko")
	return plain + ".ko.zst"
}
