package routertest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// FuzzSentence sends bytes through the reader: it must end, and what it read,
// written again, must be read as the same.
func FuzzSentence(f *testing.F) {
	for _, seed := range [][]byte{
		nil, {0}, {0x80}, {0xF8, 0}, {0xF0, 0, 0, 0, 1, 'a', 0}, {0xF0, 0xFF, 0xFF, 0xFF, 0xFF}, {0xC0, 0, 1, 'x', 0},
		appendSentence(nil, "/login", "=name=admin", "=password="),
		appendSentence(nil, strings.Repeat("x", 0x80)), appendSentence(nil, strings.Repeat("y", 0x4000)),
		bytes.Repeat([]byte{1, 'a'}, 5000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		words, err := readSentence(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		again, err := readSentence(bufio.NewReader(bytes.NewReader(appendSentence(nil, words...))))
		if err != nil || !slices.Equal(words, again) {
			t.Errorf("readSentence(appendSentence(%q)) = %q, %v", words, again, err)
		}
	})
}

// FuzzQuery has any words asked of a row: no stack is too shallow for them.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "name", "-name", "name=x", "<mtu=9", ">mtu=", "#", "#!", "#|&.!", "#0", "#1.2.", "#99999999999999999999", "=name=x"} {
		f.Add(seed, "#|")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		test, err := compileQuery([]arg{{"?", a}, {"?", b}})
		if err == nil {
			test(record{"name": "x", "mtu": "1500"})
		}
	})
}

// FuzzValue has every kind of value of every menu read any text: what is taken
// must be taken again as it is shown, or a plan would differ for ever.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{
		"", "yes", "1h30m", "90", "00:10:00", "192.0.2.1/24", "192.0.2.1-192.0.2.9", "2001:db8::1%x", "10,20-30", "!ether1", "*1",
		"ether1,ether2", "0x80", "-1", "9999999999999999999", "1:52:54:0", "52-54-00-aa-bb-cc", "2026-02-31", "jan/31/2026", "1w2d3h4m5s6ms", "a,,b", "!!x",
	} {
		f.Add(seed)
	}
	r := New(Config{NoCertificate: true})
	f.Fuzz(func(t *testing.T, text string) {
		for path, table := range r.tables {
			for _, p := range table.props {
				kept, err := p.kind.parse(r, p.name, text)
				if err != nil {
					continue
				}
				shown := p.kind.show(r, kept)
				again, err := p.kind.parse(r, p.name, shown)
				if err != nil || again != kept {
					t.Errorf("%s %s=%q is kept as %q and shown as %q, which is kept as %q, %v", path, p.name, text, kept, shown, again, err)
				}
			}
		}
	})
}

func TestLengths(t *testing.T) {
	for _, n := range []int{0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 0xFFFFF} {
		in := appendLength(nil, uint32(n))
		got, err := readLength(bufio.NewReader(bytes.NewReader(in)))
		if err != nil || int(got) != n {
			t.Errorf("length %#x: got %#x, %v from % x", n, got, err, in)
		}
	}
	for _, first := range []byte{0xF1, 0xF8, 0xFF} {
		if _, err := readLength(bufio.NewReader(bytes.NewReader([]byte{first, 0, 0, 0, 0}))); !errors.Is(err, errReserved) {
			t.Errorf("first byte %#x: got %v, want %v", first, err, errReserved)
		}
	}
	if _, err := readWord(bufio.NewReader(bytes.NewReader([]byte{0xF0, 0xFF, 0xFF, 0xFF, 0xFF}))); err == nil {
		t.Error("a word of 4 GiB: got no error")
	}
	if _, err := readSentence(bufio.NewReader(strings.NewReader("\x01a\x05b"))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("sentence cut in a word: got %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

func TestQueryStack(t *testing.T) {
	row := record{".id": "*A", "name": "ether1", "mtu": "1500", "running": "true", "address": "192.0.2.10"}
	for _, test := range []struct {
		words string
		want  bool
	}{
		{"name", true}, {"comment", false}, {"-comment", true}, {"-name", false},
		{"name=ether1", true}, {"=name=ether1", true}, {"name=ether2", false}, {"comment=", false},
		{"running=true", true}, {"running=yes", true}, {"running=no", false},
		{"<mtu=9000", true}, {">mtu=9000", false}, {"<.id=*B", true}, {">address=192.0.2.9", true},
		{"name=ether1 mtu=1", false}, {"name=ether2 mtu=1500 #|", true}, {"name=ether2 mtu=1 #|", false},
		{"name=ether2 #!", true}, {"name=ether1 mtu=1500 #&", true}, {"name=ether2 mtu=1500 #&", false},
		{"name=ether2 mtu=1 running=true #||", true},
		{"name=ether2 name=ether1 #0", true}, {"name=ether2 name=ether1 #1", false},
		{"name=ether2 #.|!", true}, {"name=ether1 name=ether2 #1.||", true}, {"", true},
	} {
		var args []arg
		for word := range strings.FieldsSeq(test.words) {
			args = append(args, arg{"?", word})
		}
		matches, err := compileQuery(args)
		if err != nil {
			t.Errorf("query %q: %v", test.words, err)
			continue
		}
		if got := matches(row); got != test.want {
			t.Errorf("query %q: got %v, want %v", test.words, got, test.want)
		}
	}
	if _, err := compileQuery([]arg{{"?", "#x"}}); err == nil {
		t.Error("query ?#x: got no error, want one")
	}
}

// Every version that a test may ask for has a readable schema, defaults that
// its own kinds accept, and names for what references name.
func TestSchema(t *testing.T) {
	for _, v := range []string{"7.16", "7.18", "7.20", "7.21.4", "7.24.2"} {
		r := New(Config{Version: v, NoCertificate: true})
		for path, table := range r.tables {
			for _, p := range table.props {
				if p.has && p.preset != "" {
					if kept, err := p.kind.parse(r, p.name, p.preset); err != nil || kept != p.preset {
						t.Errorf("%s %s %s: the default %q is taken as %q, %v", v, path, p.name, p.preset, kept, err)
					}
				}
				for _, menu := range referred(p.kind) {
					target := r.tables[menu]
					if menu != "/interface" && (target == nil || target.nameKey() == "") {
						t.Errorf("%s %s %s: refers to %s, which names no rows", v, path, p.name, menu)
					}
				}
			}
			for _, u := range table.uniques {
				for _, name := range u.props {
					if table.byName[name] == nil {
						t.Errorf("%s %s: unique over %s, which it has not", v, path, name)
					}
				}
			}
		}
	}
	for _, bad := range []string{
		"menu /x many", "menu /x list\n  a nokind", "menu /x list\n  a int(1)", "menu /x list\n  a", "menu /x list\n  a bool\n  a bool",
		"menu /x list\n  ! unique a", "group g\n  a nokind",
	} {
		if _, err := parseSchema(bad, version{7, 24, 0}); err == nil {
			t.Errorf("schema %q: got no error", bad)
		}
	}
}

func referred(k kind) []string {
	switch k := k.(type) {
	case refKind:
		return k.menus
	case listKind:
		return referred(k.of)
	case notKind:
		return referred(k.of)
	case anyKind:
		var all []string
		for _, one := range k {
			all = append(all, referred(one)...)
		}
		return all
	}
	return nil
}
