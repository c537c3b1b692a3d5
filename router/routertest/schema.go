package routertest

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

// The menus, as data. A file holds menus, a menu its properties:
//
//	menu /ip/pool list            rows that can be added
//	menu /ip/dns single           one row without an id
//	menu /ip/service fixed        rows that are there; set only
//	menu /system/package readonly nothing can be altered
//
// followed on the same line by flags: ordered (place-before and move work),
// since=7.20, until=7.20 (gone from then on), ids=NAME (a shared counter of ids),
// dynamic (rows that the router makes can be shown), comment, disable (the
// verbs and properties of that name exist). Below:
//
//	name string =default flags    a property
//	! unique name: message        no two rows have equal values of these
//
// Flags of a property: required, name (find and set take its value for the
// row), ro (only shown), once (add only), secret (taken, never shown), since=,
// until=, quiet (not shown while it has the default), unset (may be unset).
//
//go:embed schema/*.txt
var schemaFiles embed.FS

// menu is the shape of one menu.
type menu struct {
	path    string
	kind    string // "list", "single", "fixed", "readonly"
	flags   map[string]string
	props   []*prop
	byName  map[string]*prop
	uniques []unique
}

// prop is one property of a menu's rows.
type prop struct {
	name  string
	kind  kind // what values it takes
	flags map[string]string
	// preset is the default, in printed form; preset is only meaningful when
	// has is true.
	preset string
	has    bool
}

func (p *prop) flag(name string) bool { _, ok := p.flags[name]; return ok }

// unique is a set of properties in which no two rows may agree.
type unique struct {
	props   []string
	message string
}

func (m *menu) flag(name string) bool { _, ok := m.flags[name]; return ok }

// nameKey is the property that names a row; "" in menus without one.
func (m *menu) nameKey() string {
	for _, p := range m.props {
		if p.flag("name") {
			return p.name
		}
	}
	return ""
}

// newTables makes the empty tables of a version.
func newTables(v version) map[string]*table {
	tables := map[string]*table{}
	shared := map[string]*counter{}
	for _, m := range readSchema(v) {
		ids := &counter{}
		if name, ok := m.flags["ids"]; ok {
			if shared[name] == nil {
				shared[name] = ids
			}
			ids = shared[name]
		}
		tables[m.path] = &table{menu: m, ids: ids}
	}
	return tables
}

// readSchema reads the menus that the version has. The files are part of the
// program: a fault in them panics.
func readSchema(v version) []*menu {
	files, err := schemaFiles.ReadDir("schema")
	if err != nil {
		panic(err)
	}
	var all []*menu
	for _, f := range files {
		text, err := schemaFiles.ReadFile("schema/" + f.Name())
		if err != nil {
			panic(err)
		}
		var current *menu
		for n, line := range strings.Split(string(text), "\n") {
			words := strings.Fields(line)
			switch {
			case len(words) == 0 || strings.HasPrefix(words[0], "#"):
			case words[0] == "menu":
				current = parseMenu(words[1:])
				if inVersion(current.flags, v) {
					all = append(all, current)
				}
			case words[0] == "!":
				names, message, ok := strings.Cut(strings.TrimSpace(line), ": ")
				if !ok || words[1] != "unique" {
					panic(fmt.Sprintf("%s:%d: want ! unique NAMES: MESSAGE", f.Name(), n+1))
				}
				current.uniques = append(current.uniques, unique{strings.Fields(names)[2:], message})
			default:
				p, err := parseProperty(words)
				if err != nil {
					panic(fmt.Sprintf("%s:%d: %v", f.Name(), n+1, err))
				}
				if inVersion(p.flags, v) {
					current.add(p)
				}
			}
		}
	}
	return all
}

func (m *menu) add(p *prop) {
	if m.byName[p.name] != nil {
		panic(fmt.Sprintf("schema: %s has %s twice", m.path, p.name))
	}
	m.props = append(m.props, p)
	m.byName[p.name] = p
}

func parseMenu(words []string) *menu {
	m := &menu{path: words[0], kind: words[1], flags: parseFlags(words[2:]), byName: map[string]*prop{}}
	if !slices.Contains([]string{"list", "single", "fixed", "readonly"}, m.kind) {
		panic(fmt.Sprintf("schema: %s: no kind %q", m.path, m.kind))
	}
	if m.flag("disable") {
		m.add(&prop{name: "disabled", kind: boolKind{}, preset: "false", has: true})
	}
	if m.flag("comment") {
		m.add(&prop{name: "comment", kind: stringKind{}, flags: map[string]string{"unset": ""}})
	}
	if m.flag("dynamic") {
		m.add(&prop{name: "dynamic", kind: boolKind{}, flags: map[string]string{"ro": ""}})
	}
	return m
}

func parseProperty(words []string) (*prop, error) {
	if len(words) < 2 {
		return nil, fmt.Errorf("property %q has no kind", words[0])
	}
	k, err := parseKind(words[1])
	if err != nil {
		return nil, err
	}
	p := &prop{name: words[0], kind: k}
	rest := words[2:]
	if len(rest) > 0 && strings.HasPrefix(rest[0], "=") {
		p.preset, p.has = rest[0][1:], true
		rest = rest[1:]
	}
	p.flags = parseFlags(rest)
	return p, nil
}

func parseFlags(words []string) map[string]string {
	flags := map[string]string{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		flags[name] = value
	}
	return flags
}

// inVersion tells whether flags let the version have what they belong to.
func inVersion(flags map[string]string, v version) bool {
	if since, ok := flags["since"]; ok && !v.atLeast(mustVersion(since)) {
		return false
	}
	until, ok := flags["until"]
	return !ok || !v.atLeast(mustVersion(until))
}

func mustVersion(text string) version {
	v, err := parseVersion(text)
	if err != nil {
		panic(err)
	}
	return v
}
