package host

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseMAC(t *testing.T) {
	want := MAC{0x52, 0x54, 0x00, 0x12, 0x34, 0xab}
	for _, text := range []string{
		"52:54:00:12:34:ab", "52-54-00-12-34-AB", "5254.0012.34ab", "5254001234ab", "5254001234AB", " 52:54:00:12:34:ab\n",
	} {
		if got, err := ParseMAC(text); err != nil || got != want {
			t.Errorf("ParseMAC(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "x", "52:54:00:12:34", "52:54:00:12:34:ab:cd:ef", "52:54:00:12:34:gg", "5254001234a", "52-54:00:12:34:ab", "5254001234zz",
	} {
		if got, err := ParseMAC(text); err == nil || !got.IsZero() {
			t.Errorf("ParseMAC(%q) = %s, %v, want an error and no address", text, got, err)
		}
	}
}

func TestParseUUID(t *testing.T) {
	want := UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xab}
	for _, text := range []string{
		"01020304-0506-0708-090a-0b0c0d0e0fab", "01020304-0506-0708-090A-0B0C0D0E0FAB", "0102030405060708090a0b0c0d0e0fab", "\t01020304-0506-0708-090a-0b0c0d0e0fab ",
	} {
		if got, err := ParseUUID(text); err != nil || got != want {
			t.Errorf("ParseUUID(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "01020304-0506-0708-090a-0b0c0d0e0f", "01020304-0506-0708-090a-0b0c0d0e0fabcd", "01020304-0506-0708-090a-0b0c0d0e0fxx"} {
		if got, err := ParseUUID(text); err == nil || !got.IsZero() {
			t.Errorf("ParseUUID(%q) = %s, %v, want an error and no UUID", text, got, err)
		}
	}
}

func TestUUIDFits(t *testing.T) {
	known := UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	for _, tt := range []struct {
		name string
		seen UUID
		want bool
	}{
		{"the same", known, true},
		{"none told", UUID{}, true},
		{"its first fields little-endian", UUID{4, 3, 2, 1, 6, 5, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16}, true},
		{"only one field swapped", UUID{4, 3, 2, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, false},
		{"another", UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17}, false},
	} {
		if got := known.Fits(tt.seen); got != tt.want {
			t.Errorf("%s: Fits = %v, want %v", tt.name, got, tt.want)
		}
		if got := tt.seen.Fits(known); got != tt.want {
			t.Errorf("%s: the other way round: Fits = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestIdentitiesInJSON(t *testing.T) {
	type both struct {
		MAC  MAC  `json:"mac,omitzero"`
		UUID UUID `json:"uuid,omitzero"`
	}
	for _, v := range []both{{}, {MAC{2, 0, 0, 0, 0, 1}, UUID{15: 1}}} {
		b, err := json.Marshal(v)
		var back both
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		if err != nil || back != v {
			t.Errorf("%s came back as %+v, %v", b, back, err)
		}
	}
	var v both
	for _, text := range []string{`{"mac":"x"}`, `{"uuid":"x"}`, `{"mac":1}`, `{"mac":""}`} {
		if err := json.Unmarshal([]byte(text), &v); err == nil || v != (both{}) {
			t.Errorf("%s was read as %+v", text, v)
		}
	}
}

func FuzzParseMAC(f *testing.F) {
	for _, s := range []string{"52:54:00:12:34:56", "525400123456", "5254.0012.3456", "-", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMAC(s)
		if err != nil {
			return
		}
		if again, err := ParseMAC(m.String()); err != nil || again != m {
			t.Errorf("ParseMAC(%q) = %s, which is read as %s, %v", s, m, again, err)
		}
		if again, err := ParseMAC(strings.ReplaceAll(m.String(), ":", "")); err != nil || again != m {
			t.Errorf("%s without colons is read as %s, %v", m, again, err)
		}
	})
}

func FuzzParseUUID(f *testing.F) {
	for _, s := range []string{"01020304-0506-0708-090a-0b0c0d0e0f10", "0102030405060708090a0b0c0d0e0f10", "--", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseUUID(s)
		if err != nil {
			return
		}
		if again, err := ParseUUID(u.String()); err != nil || again != u || !u.Fits(again) {
			t.Errorf("ParseUUID(%q) = %s, which is read as %s, %v", s, u, again, err)
		}
		if swapped := u.swapped(); swapped.swapped() != u || !u.Fits(swapped) {
			t.Errorf("%s does not fit its swapped form %s", u, swapped)
		}
	})
}
