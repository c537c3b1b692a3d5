package router

import (
	"fmt"
	"regexp"
	"strings"
)

// Quote writes any text as a string of RouterOS's script language, which has no
// other way to hold it. Bytes outside of ASCII and control characters are written
// in hexadecimal, with capital digits, as the console itself exports them.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\', c == '$', c == '?':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ', c > '~':
			fmt.Fprintf(&b, `\%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

var idForm = regexp.MustCompile(`^\*[0-9A-F]{1,8}$`)

// item names a row by its id, or by its name where the id is not known yet.
func item(id string) string {
	if idForm.MatchString(id) {
		return id
	}
	return "[find where name=" + Quote(id) + "]"
}
