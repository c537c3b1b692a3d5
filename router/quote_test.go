package router

import (
	"strings"
	"testing"
	"unicode"

	"provision.internal/router/routertest"
)

// Whatever is quoted arrives as it was, and nothing of it is carried out.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{
		"", "lan0", `"`, `\`, `\"`, `$x`, `[/system/reboot]`, `"] ; /system/identity set name="x`, "a\nb\r\nc\td", "ümlaut", "?", "\x00\x7f\xff",
		`}} on-error={/user/remove admin}`, `\41`, "#", ";", "{", "}", "provision:vlan/lan0", "\xc3",
	} {
		f.Add(s)
	}
	r := routertest.New(routertest.Config{})
	f.Cleanup(r.Close)
	if _, err := r.Do("/system/script/add", "=name=held", "=source="); err != nil {
		f.Fatal(err)
	}
	identity := r.Rows("/system/identity")[0]["name"]
	f.Fuzz(func(t *testing.T, s string) {
		quoted := Quote(s)
		if strings.ContainsFunc(quoted, func(c rune) bool { return c > unicode.MaxASCII || c < ' ' || c == 0x7f }) {
			t.Errorf("%q has more than printable ASCII", quoted)
		}
		if err := r.RunScript("/system/script set held source=" + quoted); err != nil {
			t.Fatalf("%q: %v", quoted, err)
		}
		if got := r.Rows("/system/script")[0]["source"]; got != s {
			t.Errorf("%q arrives as %q", s, got)
		}
		if got := r.Rows("/system/identity")[0]["name"]; got != identity {
			t.Errorf("%q was carried out: the identity is %q", s, got)
		}
	})
}
