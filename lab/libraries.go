package lab

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"path"

	"provision.internal/xbps"
)

// checkLibraries makes sure that each program finds its libraries in its own
// package or in those that it depends on: Debian's next version may need
// another one, and that shows here rather than on an installed machine.
func (m *maker) checkLibraries() error {
	var faults []error
	for name, files := range m.trees {
		around := tree{}
		for dep := range m.closure(name) {
			around.merge(m.trees[dep])
		}
		for _, f := range files {
			if f.Mode.Type() != 0 || path.Dir(f.Path) != "usr/bin" && path.Dir(f.Path) != "usr/lib" {
				continue
			}
			wanted, err := libraries(f)
			if err != nil {
				return err
			}
			for _, lib := range wanted {
				if _, ok := around["usr/lib/"+lib]; ok {
					continue
				}
				faults = append(faults, fmt.Errorf("%s of package %s needs %s, which no package of its dependencies has", f.Path, name, lib))
			}
		}
	}
	return errors.Join(faults...)
}

// closure is a package with all that it depends on.
func (m *maker) closure(name string) map[string]bool {
	all := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if all[name] {
			return
		}
		all[name] = true
		for _, dep := range m.needs[name] {
			visit(dep)
		}
	}
	visit(name)
	return all
}

// libraries lists what a program or library is linked with.
func libraries(f xbps.File) ([]string, error) {
	body, err := content(f)
	if err != nil {
		return nil, err
	}
	e, err := elf.NewFile(bytes.NewReader(body))
	if err != nil {
		return nil, nil //nolint:nilerr // a script
	}
	return e.ImportedLibraries()
}
