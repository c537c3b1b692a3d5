package mirror

import (
	"fmt"
	"os"
	"slices"
)

// maxTables is how many tables are held in memory: those of Void's largest index have
// some 1.5 MB each.
const maxTables = 16

// tableCache holds the tables that were used last.
type tableCache struct {
	order  []string // of last use, the oldest first
	tables map[string]*table
}

func (c *tableCache) get(name string) *table {
	t := c.tables[name]
	if t != nil {
		c.put(name, t)
	}
	return t
}

func (c *tableCache) put(name string, t *table) {
	if c.tables == nil {
		c.tables = map[string]*table{}
	}
	c.order = slices.DeleteFunc(c.order, func(n string) bool { return n == name })
	c.order = append(c.order, name)
	c.tables[name] = t
	if len(c.order) > maxTables {
		delete(c.tables, c.order[0])
		c.order = c.order[1:]
	}
}

// table returns the table of a kept index.
func (m *Mirror) table(x Index) (*table, error) {
	m.mu.Lock()
	t := m.tables.get(x.SHA256)
	m.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := m.loadTable(x)
	if err != nil {
		return nil, fmt.Errorf("kept index %s: %w", x.SHA256, err)
	}
	m.mu.Lock()
	m.tables.put(x.SHA256, t)
	m.mu.Unlock()
	return t, nil
}

// loadTable reads a table from the disk, or makes it anew where it is damaged.
func (m *Mirror) loadTable(x Index) (*table, error) {
	if f, err := os.Open(m.tablePath(x)); err == nil {
		t, err := readTable(f)
		_ = f.Close() // only read
		if err == nil {
			return t, nil
		}
		m.cfg.Log.Warn("the table of an index is damaged; it is made anew", "file", f.Name(), "err", err)
	}
	index, err := m.index(x)
	if err != nil {
		return nil, err
	}
	t, err := newTable(index)
	if err != nil {
		return nil, err
	}
	return t, m.writeFile(m.tablePath(x), t.write)
}
