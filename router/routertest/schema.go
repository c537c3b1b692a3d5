package routertest

import (
	"embed"
	"errors"
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
// since=7.20, until=7.20 (gone from then on), unset or unset=7.24 (the verb is
// there, or from then on), ids=NAME (a shared counter of ids),
// dynamic (rows that the router makes can be shown), comment, disable (the
// verbs and properties of that name exist). Below:
//
//	name string =default flags    a property
//	@bgp                          the properties of a group
//	! unique name: message        no two rows have equal values of these
//	! unique-enabled name: …      no two rows that are not disabled
//
// Below a line "group bgp" stand properties that several menus of the file
// share. Flags of a property: required, name (set and remove take its value for
// the row), ro (only shown), secret (taken, never shown), since=, until=, unset
// (may be unset; the empty value unsets it), auto=vlan (add makes up vlan1,
// vlan2, …), refuse=interface (what a refusal of a value calls it). Below
// "# [?]" stands a message that was not seen on a device.
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

// label is what a refusal of a value calls the property.
func (p *prop) label() string {
	if name, ok := p.flags["refuse"]; ok {
		return name
	}
	return p.name
}

func (p *prop) flag(name string) bool { _, ok := p.flags[name]; return ok }

// unique is a set of properties in which no two rows may agree.
type unique struct {
	props   []string
	message string
	// enabled leaves disabled rows out of it.
	enabled bool
}

// has tells whether the menu knows the verb.
func (m *menu) has(verb string) bool {
	switch verb {
	case "print", "get", "listen", "getall":
		return true
	case "find":
		return m.kind != "single"
	case "add", "remove":
		return m.kind == "list"
	case "set":
		return m.kind != "readonly" && slices.ContainsFunc(m.props, func(p *prop) bool { return !p.flag("ro") })
	case "unset":
		return m.flag("unset")
	case "enable", "disable":
		return m.byName["disabled"] != nil
	case "comment":
		return m.byName["comment"] != nil
	case "move":
		return m.flag("ordered")
	}
	return false
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
		menus, err := parseSchema(string(text), v)
		if err != nil {
			panic(fmt.Sprintf("schema/%s: %v", f.Name(), err))
		}
		all = append(all, menus...)
	}
	return all
}

// parseSchema reads the text of one file.
func parseSchema(text string, v version) ([]*menu, error) {
	lines := strings.Split(text, "\n")
	groups := map[string][]*prop{}
	current := ""
	for n, line := range lines {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "menu":
			current = ""
		case strings.HasPrefix(line, "group "):
			current = words[1]
		case current != "":
			p, err := parseProperty(words)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n+1, err)
			}
			groups[current] = append(groups[current], p)
		}
	}
	var all []*menu
	var at *menu
	for n, line := range lines {
		var err error
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case strings.HasPrefix(line, "menu "):
			if at, err = parseMenu(words[1:]); err == nil && inVersion(at.flags, v) {
				all = append(all, at)
			}
			if err == nil && at.flags["unset"] != "" && !v.atLeast(mustVersion(at.flags["unset"])) {
				delete(at.flags, "unset")
			}
		case strings.HasPrefix(line, "group "):
			at = nil
		case at == nil: // a line of a group
		case strings.HasPrefix(words[0], "@"):
			for _, p := range groups[words[0][1:]] {
				err = errors.Join(err, at.add(p, v))
			}
		case words[0] == "!":
			err = at.addUnique(line)
		default:
			var p *prop
			if p, err = parseProperty(words); err == nil {
				err = at.add(p, v)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return all, nil
}

// addUnique reads "! unique NAMES: MESSAGE".
func (m *menu) addUnique(line string) error {
	names, message, ok := strings.Cut(strings.TrimSpace(line), ": ")
	words := strings.Fields(names)
	if !ok || len(words) < 3 || words[1] != "unique" && words[1] != "unique-enabled" {
		return fmt.Errorf("%q: want ! unique NAMES: MESSAGE", line)
	}
	m.uniques = append(m.uniques, unique{words[2:], message, words[1] == "unique-enabled"})
	return nil
}

// add gives the menu a property, if the version has it.
func (m *menu) add(p *prop, v version) error {
	if !inVersion(p.flags, v) {
		return nil
	}
	if m.byName[p.name] != nil {
		return fmt.Errorf("%s has %s twice", m.path, p.name)
	}
	m.props = append(m.props, p)
	m.byName[p.name] = p
	return nil
}

func parseMenu(words []string) (*menu, error) {
	if len(words) < 2 || !slices.Contains([]string{"list", "single", "fixed", "readonly"}, words[1]) {
		return nil, fmt.Errorf("menu %q: want PATH and list, single, fixed or readonly", words)
	}
	m := &menu{path: words[0], kind: words[1], flags: parseFlags(words[2:]), byName: map[string]*prop{}}
	var standard []*prop
	if m.flag("disable") {
		standard = append(standard, &prop{name: "disabled", kind: boolKind{}, preset: "false", has: true})
	}
	if m.flag("comment") {
		standard = append(standard, &prop{name: "comment", kind: stringKind{}, flags: map[string]string{"unset": ""}})
	}
	if m.flag("dynamic") {
		standard = append(standard, &prop{name: "dynamic", kind: boolKind{}, flags: map[string]string{"ro": ""}})
	}
	for _, p := range standard {
		m.props = append(m.props, p)
		m.byName[p.name] = p
	}
	return m, nil
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
