package mirror

import (
	"bytes"
	"path"
	"strings"
	"testing"
)

// FuzzLocate looks for paths that would leave a repository's folder, here or upstream.
func FuzzLocate(f *testing.F) {
	for _, s := range []string{
		"current/x86_64-repodata", "@golden/current/musl/nonfree/x86_64-musl-repodata", "x86_64-repodata", "current/foo-1.0_1.noarch.xbps",
		"current/foo-1.0_1.x86_64.xbps.sig2", "@a/../x86_64-repodata", "../foo-1.0_1.x86_64.xbps", "current/..-repodata", "@/-repodata",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, ok := locate(s)
		if !ok {
			return
		}
		if p := l.path(); path.Clean("/"+p) != "/"+p || strings.ContainsAny(p, "?#%\\\x00 ") || strings.Contains(p, "..") && strings.Contains(l.repo, "..") {
			t.Errorf("locate(%q) leads to %q", s, p)
		}
		if strings.ContainsAny(l.snapshot, "/\\") || strings.HasPrefix(l.snapshot, ".") {
			t.Errorf("locate(%q) is of the snapshot %q", s, l.snapshot)
		}
	})
}

// FuzzReadTable looks for panics, and for tables that do not survive being written.
func FuzzReadTable(f *testing.F) {
	f.Add("files 60:ae\n" + strings.Repeat("0", 64) + " 10 foo-1.0_1.x86_64.xbps\nend\n")
	f.Add("files k\nend\n")
	f.Add("files k\n" + strings.Repeat("0", 64) + " -1 foo-1.0_1.x86_64.xbps\nend\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := readTable(strings.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := table.write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := readTable(&b)
		if err != nil || len(again.rows) != len(table.rows) || again.key != table.key {
			t.Errorf("%q was written as %q and read as %v, %v", text, b.String(), again, err)
		}
	})
}
