package routertest

import (
	"fmt"
	"slices"
	"strings"
)

// exportOrder lists the menus of an export so that what a row refers to comes
// before it. Menus that aren't in it follow, sorted.
var exportOrder = []string{
	"/interface/bridge", "/interface/ethernet", "/interface/vlan", "/interface/list", "/ip/pool",
	"/ip/dhcp-server/option", "/ip/dhcp-server/option/sets", "/ip/dhcp-server", "/routing/bgp/template",
	"/routing/bgp/instance", "/interface/bridge/port", "/interface/bridge/vlan", "/interface/list/member", "/ip/address",
}

// exportColumns is how long lines get before they are joined by a backslash.
const exportColumns = 80

// exportFile is /export file=NAME: the configuration as a script. Passwords,
// certificates, keys and users are not in it.
func (r *Router) exportFile(c *call) ([]record, error) {
	name, _ := c.get("file")
	if name == "" {
		return nil, trap(categoryMissing, "missing value(s) of argument(s) file")
	}
	r.writeFile(withSuffix(name, ".rsc"), r.export())
	return nil, nil
}

// export writes the configuration as /export does: what differs from the
// defaults.
func (r *Router) export() string {
	var text strings.Builder
	fmt.Fprintf(&text, "# %s by RouterOS %s\n# software id = \n#\n# model = RB3011UiAS\n# serial number = HD0000000XX\n",
		r.clock.Now().UTC().Format(stamp), r.config.Version)
	paths := sortedKeys(r.tables)
	slices.SortStableFunc(paths, func(a, b string) int { return exportPlace(a) - exportPlace(b) })
	for _, path := range paths {
		t := r.tables[path]
		if volatile[path] || t.kind == "readonly" || path == "/certificate" || strings.HasPrefix(path, "/user") {
			continue
		}
		heading := strings.ReplaceAll(path[1:], "/", " ")
		for _, one := range t.rows {
			line := r.exportRow(t, one)
			if line == "" {
				continue
			}
			if heading != "" {
				fmt.Fprintf(&text, "/%s\n", heading)
				heading = ""
			}
			text.WriteString(line + "\n")
		}
	}
	return text.String()
}

func exportPlace(path string) int {
	if at := slices.Index(exportOrder, path); at >= 0 {
		return at
	}
	return len(exportOrder)
}

// exportRow writes the line that makes a row what it is; "" when there is
// nothing to say.
func (r *Router) exportRow(t *table, one *row) string {
	if one.dynamic() {
		return ""
	}
	words := []string{"add"}
	key := ""
	switch {
	case t.kind == "single":
		words = []string{"set"}
	case t.path == "/interface/ethernet":
		key = "default-name"
	case t.kind == "fixed" || one.builtin:
		key = t.nameKey()
	}
	if key != "" {
		words = []string{"set [ find " + key + "=" + quoteWord(one.fields[key]) + " ]"}
	}
	for _, p := range t.props {
		kept, set := one.fields[p.name]
		preset, has := r.factoryValue(t, one, p)
		if !set || p.flag("ro") || p.flag("secret") || p.name == key || has && kept == preset {
			continue
		}
		words = append(words, p.name+"="+consoleWord(r, p, kept))
	}
	if len(words) == 1 && words[0] != "add" {
		return ""
	}
	return joinLines(words)
}

// factoryValue is what a property is without anybody's doing.
func (r *Router) factoryValue(t *table, one *row, p *prop) (string, bool) {
	if p.has {
		return p.preset, true
	}
	if t.kind != "fixed" && !one.builtin {
		return "", false
	}
	if fresh, _ := r.fresh[t.path].find(one.id); fresh != nil {
		kept, ok := fresh.fields[p.name]
		return kept, ok
	}
	return "", false
}

// joinLines joins words, beginning a new line with a backslash where one gets
// too long.
func joinLines(words []string) string {
	line, length := words[0], len(words[0])
	for _, word := range words[1:] {
		if length+1+len(word) > exportColumns-2 {
			line += " \\\n   "
			length = 3
		}
		line += " " + word
		length += 1 + len(word)
	}
	return line
}
