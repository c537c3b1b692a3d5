package httpboot

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"provision.internal/host"
	"provision.internal/installer"
)

// What a machine may say at most.
const (
	maxText    = 256  // a name, a serial, a step
	maxLine    = 4096 // a log line, a reason
	maxDevices = 1024 // disks, or NICs
	minSecret  = 20
)

// checkHello refuses what no agent sends, and cleans the texts that people will
// read on their terminals.
func checkHello(q installer.Hello) error {
	inv := &q.Inventory
	switch {
	case q.MAC.IsZero() || q.MAC[0]&1 != 0:
		return badRequest("%s is no address of a machine", q.MAC)
	case len(q.Secret) < minSecret || len(q.Secret) > maxText:
		return badRequest("the secret must have %d to %d characters", minSecret, maxText)
	case len(inv.Disks) > maxDevices || len(inv.NICs) > maxDevices:
		return badRequest("the inventory has more than %d disks or interfaces", maxDevices)
	}
	texts := []*string{&inv.Vendor, &inv.Product, &inv.Serial, &inv.Arch, &inv.CPU}
	for i := range inv.Disks {
		d := &inv.Disks[i]
		// What names a disk must reach the agent again as it was.
		if id := d.ID(); id != printable(id, maxText) {
			return badRequest("the disk %s has a serial that cannot be printed", printable(d.Name, maxText))
		}
		texts = append(texts, &d.Name, &d.Model, &d.Foreign)
	}
	for i := range inv.NICs {
		texts = append(texts, &inv.NICs[i].Name)
	}
	for _, t := range texts {
		*t = printable(*t, maxText)
	}
	return nil
}

// printable returns text without what moves a terminal's cursor, cut to limit
// bytes.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return text
}

// progressOf returns what an agent says of its progress as it may be shown.
func progressOf(p host.Progress) host.Progress {
	return host.Progress{
		Step: printable(p.Step, maxText), Text: printable(p.Text, maxText),
		Done: max(p.Done, 0), Of: max(p.Of, 0),
	}
}
