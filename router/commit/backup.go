package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"provision.internal/router/ros"
)

const (
	files       = "/file"
	filePrefix  = "provision-"
	keptBackups = 3        // of ours on the router, whose flash is small
	chunk       = 32 << 10 // bytes of one /file/read
	maxExport   = 8 << 20  // bytes; a large site has some hundred KiB
)

// backup saves the whole router in a file there, and its export there and here.
// A router whose files cannot be read gives a note, not an error.
func (a *attempt) backup(ctx context.Context, conn *ros.Conn) error {
	rows, err := conn.Print(ctx, files, []string{"name", "type"})
	if err != nil {
		return fmt.Errorf("list the router's files: %w", err)
	}
	// Where there is a disk "flash", only what is on it outlives a reboot.
	folder := ""
	if slices.ContainsFunc(rows, func(r ros.Row) bool { return r["name"] == "flash" && r["type"] == "disk" }) {
		folder = "flash/"
	}
	name := folder + filePrefix + a.rec.ID
	if _, err := conn.Call(ctx, "/system/backup/save", "=name="+name, "=dont-encrypt=yes"); err != nil {
		return fmt.Errorf("save a backup on the router: %w", err)
	}
	a.rec.Backup = name + ".backup"
	if _, err := conn.Call(ctx, "/export", "=file="+name); err != nil {
		return fmt.Errorf("save an export on the router: %w", err)
	}
	text, err := readFile(ctx, conn, name+".rsc")
	switch {
	case refused(err) || errors.Is(err, errFileReading):
		a.rec.note("the export stays on the router, in %s: this RouterOS does not let it be read (%v)", name+".rsc", err)
	case err != nil:
		return err
	default:
		a.rec.Export = a.rec.ID + ".rsc"
		if err := a.journal.put(a.rec.Export, text); err != nil {
			return err
		}
	}
	return a.thin(ctx, conn, rows)
}

var errFileReading = errors.New("not readable")

// readFile returns a file of the router.
func readFile(ctx context.Context, conn *ros.Conn, name string) ([]byte, error) {
	var text []byte
	for len(text) <= maxExport {
		rows, err := conn.Run(ctx, files+"/read", "=file="+name, "=offset="+strconv.Itoa(len(text)), "=chunk-size="+strconv.Itoa(chunk))
		if err != nil {
			return nil, fmt.Errorf("read %s from the router: %w", name, err)
		}
		size := 0
		for _, row := range rows {
			size += len(row["data"])
			text = append(text, row["data"]...)
		}
		if size < chunk {
			return text, nil
		}
	}
	return nil, fmt.Errorf("read %s from the router: %w: more than %d MiB", name, errFileReading, maxExport>>20)
}

// thin removes our oldest backups and exports from the router. The names sort
// by time. A failure leaves files, and is a note.
func (a *attempt) thin(ctx context.Context, conn *ros.Conn, rows []ros.Row) error {
	var ours []ros.Row
	for _, row := range rows {
		base := strings.TrimPrefix(row["name"], "flash/")
		if strings.HasPrefix(base, filePrefix) && (strings.HasSuffix(base, ".backup") || strings.HasSuffix(base, ".rsc")) {
			ours = append(ours, row)
		}
	}
	// Two files a commit; those of this one are not in the list.
	over := len(ours) - 2*(keptBackups-1)
	if over <= 0 {
		return nil
	}
	slices.SortFunc(ours, func(x, y ros.Row) int { return cmp.Compare(x["name"], y["name"]) })
	var ids []string
	for _, row := range ours[:over] {
		ids = append(ids, row[".id"])
	}
	err := conn.Remove(ctx, files, strings.Join(ids, ","))
	if refused(err) {
		a.rec.note("old backups stay on the router: %v", err)
		return nil
	}
	return err
}
