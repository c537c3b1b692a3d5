package tftp

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCleanName(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"snponly.efi", "snponly.efi"},
		{"/snponly.efi", "snponly.efi"},
		{"//grub//grub.cfg", "grub/grub.cfg"},
		{"./grub/./grub.cfg", "grub/grub.cfg"},
		{`\boot\x64\wdsnbp.com`, "boot/x64/wdsnbp.com"},
		{"undionly.kpxe\xff", "undionly.kpxe"},
		{"grub.cfg-01-52-54-00-12-34-56", "grub.cfg-01-52-54-00-12-34-56"},
		{"a..b", "a..b"},
		{"..", ""},
		{"../../etc/shadow", ""},
		{"/../etc/shadow", ""},
		{`..\..\etc\shadow`, ""},
		{`a/..\../etc/shadow`, ""},
		{"grub/../snponly.efi", ""},
		{"....//etc/shadow/..", ""},
		{"", ""},
		{".", ""},
		{"/", ""},
		{"\xff", ""},
		{"a\nb", ""},
		{"a\x7f", ""},
		{"caf\xe9.efi", ""},
	} {
		got, ok := cleanName(c.raw)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("cleanName(%q) = %q, %v; want %q", c.raw, got, ok, c.want)
		}
	}
}

func TestParseRequest(t *testing.T) {
	long := strings.Repeat("0", 400) + "1468"
	for _, c := range []struct {
		packet string
		want   request
	}{
		{"\x00\x01a\x00octet\x00", request{name: "a", mode: "octet"}},
		{"\x00\x01a\x00OCTET\x00", request{name: "a", mode: "octet"}},
		{"\x00\x01a\x00octet\x00tsize\x000\x00blksize\x001468\x00windowsize\x004\x00", request{name: "a", mode: "octet", block: 1468, size: true}},
		{"\x00\x01a\x00octet\x00TSize\x000\x00BLKSIZE\x001024\x00", request{name: "a", mode: "octet", block: 1024, size: true}},
		{"\x00\x01a\x00octet\x00blksize\x0065464\x00", request{name: "a", mode: "octet", block: 1468}},
		{"\x00\x01a\x00octet\x00blksize\x0065465\x00", request{name: "a", mode: "octet"}},
		{"\x00\x01a\x00octet\x00blksize\x008\x00", request{name: "a", mode: "octet"}},
		{"\x00\x01a\x00octet\x00blksize\x00-1\x00", request{name: "a", mode: "octet"}},
		{"\x00\x01a\x00octet\x00blksize\x00big\x00tsize\x000\x00", request{name: "a", mode: "octet", size: true}},
		{"\x00\x01a\x00octet\x00blksize\x00" + long + "\x00", request{name: "a", mode: "octet", block: 1468}},
		{"\x00\x01a\x00octet\x00blksize", request{name: "a", mode: "octet"}},
		{"\x00\x01a\x00octet\x00\x00\x00\x00\x00", request{name: "a", mode: "octet"}},
		{"\x00\x01a\x00netascii\x00tsize\x000\x00", request{name: "a", mode: "netascii"}},
	} {
		got, err := parseRequest([]byte(c.packet))
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(request{})); d != "" || err != nil {
			t.Errorf("parseRequest(%q): %v %s", c.packet, err, d)
		}
	}
}

func TestParseRequestRefuses(t *testing.T) {
	for _, c := range []struct {
		packet string
		code   uint16 // 0: no answer at all
	}{
		{"", 0},
		{"\x00", 0},
		{"\x00\x01", 0},
		{"\x00\x01a", 0},
		{"\x00\x01a\x00", 0},
		{"\x00\x01a\x00octet", 0},
		{"\x00\x03\x00\x01data", 0},
		{"\x00\x04\x00\x01", 0},
		{"\x00\x05\x00\x01no\x00", 0},
		{"\x01\x01a\x00octet\x00", 0},
		{"\x00\x01" + strings.Repeat("a", 600) + "\x00octet\x00", 0},
		{"\x00\x02a\x00octet\x00", codeAccess},
		{"\x00\x01../a\x00octet\x00", codeAccess},
		{"\x00\x01\x00octet\x00", codeAccess},
		{"\x00\x01a\x00mail\x00", codeIllegal},
		{"\x00\x01a\x00\x00", codeIllegal},
	} {
		_, err := parseRequest([]byte(c.packet))
		no, refused := errors.AsType[*refusal](err)
		switch {
		case c.code == 0 && !errors.Is(err, errMalformed):
			t.Errorf("parseRequest(%q) = %v, want %v", c.packet, err, errMalformed)
		case c.code != 0 && (!refused || no.code != c.code):
			t.Errorf("parseRequest(%q) = %v, want a refusal with code %d", c.packet, err, c.code)
		}
	}
}

// Whatever comes in, what goes on to the library is canonical: it fits the library's buffer, and
// reads back as the same request.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("\x00\x01snponly.efi\x00octet\x00tsize\x000\x00blksize\x001468\x00windowsize\x004\x00"))
	f.Add([]byte("\x00\x01/grub\\grub.cfg\xff\x00NetASCII\x00BLKSIZE\x00600\x00"))
	f.Add([]byte("\x00\x02x\x00octet\x00"))
	f.Add([]byte("\x00\x01../../etc/shadow\x00octet\x00"))
	f.Add([]byte("\x00\x01a\x00octet\x00blksize\x00"))
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := parseRequest(p)
		if err != nil {
			_, refused := errors.AsType[*refusal](err)
			if !refused && !errors.Is(err, errMalformed) {
				t.Fatalf("parseRequest(%q): %v is neither a refusal nor malformed", p, err)
			}
			return
		}
		if !fs.ValidPath(r.name) || r.name == "." || strings.ContainsAny(r.name, "\\\x00") {
			t.Errorf("parseRequest(%q) takes the name %q", p, r.name)
		}
		if r.block != 0 && (r.block < 512 || r.block > 1468) {
			t.Errorf("parseRequest(%q) takes blksize %d", p, r.block)
		}
		ticket := "18446744073709551615"
		out := r.packet(ticket)
		if len(out) > 516 {
			t.Errorf("packet for %q has %d bytes, the library reads 516", p, len(out))
		}
		r.name = ticket
		back, err := parseRequest(out)
		if d := cmp.Diff(r, back, cmp.AllowUnexported(request{})); d != "" || err != nil {
			t.Errorf("%q reads back differently: %v %s", out, err, d)
		}
	})
}
