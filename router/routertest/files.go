package routertest

import (
	"strconv"
	"strings"
)

// maxChunk is how much /file/read gives at once, in bytes.
const maxChunk = 32768

// shownContents is up to which size print shows what is in a file, in bytes.
const shownContents = 4095

func fileCommands() map[string]command {
	return map[string]command{
		"/file/read":   {params: []string{"file", "offset", "chunk-size", "as-value"}, needs: "read", run: (*Router).readFile},
		"/file/remove": {params: []string{".id", "numbers"}, run: (*Router).removeFile},
		"/file/add":    {params: []string{"name", "contents", "type"}, run: (*Router).addFile},
		"/export": {
			params: []string{"file", "compact", "verbose", "terse", "hide-sensitive", "show-sensitive"}, needs: "read", run: (*Router).exportFile,
		},
	}
}

// writeFile puts a file in place of one with the same name. Files are no
// configuration: they aren't in the history.
func (r *Router) writeFile(name, contents string) *row {
	t := r.tables["/file"]
	if old := t.named(name); old != nil {
		r.put(edit{menu: "/file", before: old})
	}
	return t.insert(map[string]string{
		"name": name, "type": fileType(name), "contents": contents, r.fileTime(): r.clock.Now().UTC().Format(stamp),
	}, "")
}

// fileType is what the router makes of a name.
func fileType(name string) string {
	for suffix, kind := range map[string]string{".backup": "backup", ".rsc": "script", ".txt": ".txt file"} {
		if strings.HasSuffix(name, suffix) {
			return kind
		}
	}
	return "file"
}

// withSuffix adds the suffix unless it is there.
func withSuffix(name, suffix string) string { return strings.TrimSuffix(name, suffix) + suffix }

func (r *Router) addFile(c *call) ([]record, error) {
	name, _ := c.get("name")
	contents, _ := c.get("contents")
	switch {
	case name == "":
		return nil, trap(categoryMissing, "missing value(s) of argument(s) name")
	case r.tables["/file"].named(name) != nil:
		return nil, trap(categoryGeneral, "failure: already have file with such name")
	}
	return []record{{"ret": formatID(r.writeFile(name, contents).id)}}, nil
}

func (r *Router) removeFile(c *call) ([]record, error) {
	rows, err := r.targets(c)
	if err != nil {
		return nil, err
	}
	for _, one := range rows {
		r.put(edit{menu: "/file", before: one})
		delete(r.dynamics.backups, one.fields["name"])
	}
	return nil, nil
}

// readFile gives a piece of a file.
func (r *Router) readFile(c *call) ([]record, error) {
	name, _ := c.get("file")
	one := r.lookUp(r.tables["/file"], name)
	if one == nil {
		return nil, noMatch("file")
	}
	offset, size := 0, maxChunk
	for argument, into := range map[string]*int{"offset": &offset, "chunk-size": &size} {
		text, given := c.get(argument)
		if !given {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, badValue(argument)
		}
		*into = n
	}
	if size > maxChunk {
		return nil, trap(categoryArgument, "value of chunk-size out of range (0..%d)", maxChunk)
	}
	contents := one.fields["contents"]
	offset = min(offset, len(contents))
	return []record{{"data": contents[offset:min(offset+size, len(contents))]}}, nil
}

// showFile adds the size of a printed file and leaves long contents out.
func showFile(one *row, rec record) {
	size := len(one.fields["contents"])
	rec["size"] = strconv.Itoa(size)
	if size > shownContents || rec["type"] == "backup" {
		delete(rec, "contents")
	}
}
