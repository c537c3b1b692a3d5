package routertest

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// Snapshot is the whole configuration as text, to compare: one line a row, in
// the order of the rows where that matters and sorted where it doesn't, without
// ids, dynamic rows and what the router only tells. Secrets show as the start
// of their hash.
func (r *Router) Snapshot() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snapshot()
}

func (r *Router) snapshot() string {
	var text strings.Builder
	for _, path := range sortedKeys(r.tables) {
		t := r.tables[path]
		if volatile[path] || t.kind == "readonly" {
			continue
		}
		var lines []string
		for _, one := range t.rows {
			if !one.dynamic() {
				lines = append(lines, path+r.snapshotRow(t, one))
			}
		}
		if !t.flag("ordered") {
			slices.Sort(lines)
		}
		for _, line := range lines {
			text.WriteString(line + "\n")
		}
	}
	return text.String()
}

func (r *Router) snapshotRow(t *table, one *row) string {
	line := ""
	for _, p := range t.props {
		kept, set := one.fields[p.name]
		if !set || p.flag("ro") || p.has && kept == p.preset {
			continue
		}
		shown := p.kind.show(r, kept)
		if p.flag("secret") {
			shown = fmt.Sprintf("%.8x", sha256.Sum256([]byte(kept)))
		}
		line += " " + p.name + "=" + quoteWord(shown)
	}
	return line
}
