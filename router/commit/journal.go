package commit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// kept is how many settled commits stay in the folder.
const kept = 100

// journal is the folder of records: ID.json, and ID.rsc with the export that
// was made before it.
type journal struct{ dir string }

// write puts the record on disk, durably, in the place of what was there.
func (j journal) write(r *record) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("record of commit %s: %w", r.ID, err)
	}
	return j.put(r.ID+".json", append(text, '\n'))
}

// put writes a file so that after a loss of power it is there wholly or not.
func (j journal) put(name string, content []byte) (err error) {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(j.dir, ".tmp-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(j.dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(j.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ids lists the commits, the newest first.
func (j journal) ids() ([]string, error) {
	entries, err := os.ReadDir(j.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok && !strings.HasPrefix(id, ".") {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids, nil
}

// read returns one record.
func (j journal) read(id string) (*record, error) {
	file := filepath.Join(j.dir, id+".json")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(record)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w; it was damaged: look at the router, then remove the file", file, err)
	}
	return r, nil
}

// pending returns the record that is not settled; nil without one. There is at
// most one, and it is the newest, because none begins before the last is settled.
func (j journal) pending() (*record, error) {
	ids, err := j.ids()
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	r, err := j.read(ids[0])
	if err != nil || r.Phase == Settled {
		return nil, err
	}
	return r, nil
}

// prune removes the oldest beyond those kept. The records are for people, so
// that a failure costs disk and nothing else.
func (j journal) prune() error {
	ids, err := j.ids()
	if err != nil || len(ids) <= kept {
		return err
	}
	var errs []error
	for _, id := range ids[kept:] {
		for _, ext := range []string{".rsc", ".json"} {
			if err := os.Remove(filepath.Join(j.dir, id+ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
