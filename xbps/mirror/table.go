package mirror

import (
	"bufio"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"provision.internal/xbps"
)

// digest is a SHA-256.
type digest [32]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

func parseDigest(s string) (d digest, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) || s != strings.ToLower(s) {
		return d, fmt.Errorf("%q is no SHA-256", s)
	}
	return digest(b), nil
}

// row is one package file that an index names.
type row struct {
	file string
	sum  digest
	size int64
}

// table is what the mirror needs of an index, in a hundredth of the memory and of
// the time that reading the index takes.
type table struct {
	key  string // fingerprint of the key that signs the packages
	rows []row  // sorted by file
}

// newTable makes the table of a verified index.
func newTable(x *xbps.Index) (*table, error) {
	t := &table{key: x.Key.Fingerprint(), rows: make([]row, 0, len(x.Packages))}
	for _, p := range x.Packages {
		sum, err := parseDigest(p.SHA256)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Pkgver, err)
		}
		if p.Size == 0 || p.Size > maxPackage {
			return nil, fmt.Errorf("%s: a package of %d bytes", p.Pkgver, p.Size)
		}
		if !isPackage(p.File()) {
			return nil, fmt.Errorf("%q cannot be a package file's name", p.File())
		}
		t.rows = append(t.rows, row{p.File(), sum, int64(p.Size)})
	}
	t.sort()
	return t, nil
}

// isPackage reports whether file can be asked for.
func isPackage(file string) bool {
	l, ok := locate(file)
	return ok && l.kind == packageFile && l.snapshot == "" && l.repo == ""
}

// maxPackage bounds one package file; Void's largest have one gigabyte.
const maxPackage = 16 << 30

func (t *table) sort() {
	slices.SortFunc(t.rows, func(a, b row) int { return cmp.Compare(a.file, b.file) })
}

// find returns the row of a package file.
func (t *table) find(file string) (row, bool) {
	i, ok := slices.BinarySearchFunc(t.rows, file, func(r row, name string) int { return cmp.Compare(r.file, name) })
	if !ok {
		return row{}, false
	}
	return t.rows[i], true
}

// write writes t: a line with the key, then one for each file.
func (t *table) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, tableHeader, t.key)
	for _, r := range t.rows {
		fmt.Fprintln(b, r.sum, r.size, r.file)
	}
	fmt.Fprintln(b, tableEnd)
	return b.Flush()
}

const (
	tableHeader = "files"
	tableEnd    = "end"
)

// readTable reads what write wrote. The last line shows that it is whole.
func readTable(r io.Reader) (*table, error) {
	lines := bufio.NewScanner(r)
	t := &table{}
	ended := false
	for n := 0; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		switch {
		case n == 0 && len(fields) == 2 && fields[0] == tableHeader:
			t.key = fields[1]
		case n > 0 && !ended && len(fields) == 1 && fields[0] == tableEnd:
			ended = true
		case n > 0 && !ended && len(fields) == 3:
			sum, err := parseDigest(fields[0])
			if err != nil {
				return nil, err
			}
			size, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil || size <= 0 || size > maxPackage {
				return nil, fmt.Errorf("%q is no size", fields[1])
			}
			if !isPackage(fields[2]) {
				return nil, fmt.Errorf("%q is no package file", fields[2])
			}
			t.rows = append(t.rows, row{fields[2], sum, size})
		default:
			return nil, fmt.Errorf("line %d cannot be read", n+1)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if !ended {
		return nil, errors.New("its end is missing")
	}
	t.sort()
	return t, nil
}
