package commit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/router/routertest"
)

func TestJournal(t *testing.T) {
	j := journal{filepath.Join(t.TempDir(), "router")}
	if r, err := j.pending(); r != nil || err != nil {
		t.Fatalf("pending of no folder = %v, %v", r, err)
	}
	for n := range kept + 5 {
		id := newID(noon.Add(time.Duration(n) * time.Second))
		if err := j.write(&record{Commit: Commit{ID: id, Phase: Settled, Reason: fmt.Sprint(n)}}); err != nil {
			t.Fatal(err)
		}
		if err := j.put(id+".rsc", []byte("/ip")); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.prune(); err != nil {
		t.Fatal(err)
	}
	ids, err := j.ids()
	if err != nil || len(ids) != kept {
		t.Fatalf("%d records are kept, want %d (%v)", len(ids), kept, err)
	}
	if newest, err := j.read(ids[0]); err != nil || newest.Reason != fmt.Sprint(kept+4) {
		t.Errorf("the newest is %+v, %v", newest, err)
	}
	files, err := os.ReadDir(j.dir)
	if err != nil || len(files) != 2*kept {
		t.Errorf("%d files in the folder, want %d (%v)", len(files), 2*kept, err)
	}
	waiting := &record{Commit: Commit{ID: newID(noon.Add(time.Hour)), Phase: Waiting, Outcome: Pending}}
	if err := j.write(waiting); err != nil {
		t.Fatal(err)
	}
	if r, err := j.pending(); err != nil || r == nil || r.ID != waiting.ID {
		t.Errorf("pending = %+v, %v; want %s", r, err, waiting.ID)
	}
	info, err := os.Stat(filepath.Join(j.dir, waiting.ID+".json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; a record may hold secrets", info.Mode(), err)
	}
}

// A record that is damaged stops everything and names the file.
func TestDamagedRecord(t *testing.T) {
	r := newRig(t, routertest.Config{})
	commit := r.apply(Confirmed)
	file := filepath.Join(r.c.Dir, commit.ID+".json")
	if err := os.WriteFile(file, []byte(`{"id": `), 0o600); err != nil {
		t.Fatal(err)
	}
	r.c.Config = siteAfter()
	before := r.router.Snapshot()
	if _, err := r.c.Apply(t.Context(), Options{}, nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("Apply = %v, want an error that names %s", err, file)
	}
	r.holds(before)
}

// The export is kept beside the record, and no more than a few backups stay on
// the router.
func TestBackups(t *testing.T) {
	r := newRig(t, routertest.Config{})
	var last Commit
	for n := range keptBackups + 2 {
		r.c.Config.Identity = fmt.Sprintf("gate%d", n)
		r.clock.Advance(time.Second)
		last = r.apply(Confirmed)
	}
	text, err := os.ReadFile(filepath.Join(r.c.Dir, last.Export))
	if err != nil || !strings.Contains(string(text), fmt.Sprintf("set name=gate%d", keptBackups)) {
		t.Errorf("export %q, %v; want the router as it was before the last commit", text, err)
	}
	backups := 0
	for _, row := range r.router.Rows(files) {
		if strings.HasSuffix(row["name"], ".backup") {
			backups++
		}
		if strings.Contains(row["name"], last.ID) {
			continue
		}
	}
	if backups != keptBackups {
		t.Errorf("%d backups on the router, want %d", backups, keptBackups)
	}
}

// The two commits of a takeover may begin in one second; which is the last one
// decides what is pending, and what drift is compared with.
func TestIDsSortWithinASecond(t *testing.T) {
	for range 20 {
		if first, second := newID(noon), newID(noon.Add(time.Millisecond)); first >= second {
			t.Fatalf("the commit %s sorts after %s, which began a millisecond later", first, second)
		}
	}
}
