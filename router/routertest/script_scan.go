package routertest

import (
	"strings"
)

// scanner walks over the text of a script. What a character means depends on
// where it stands (a "/" begins a path, divides, or is part of a prefix), so
// there are no tokens: the parser asks for what may come.
type scanner struct {
	source string
	offset int
}

// here is the position of the next character.
func (s *scanner) here() position {
	before := s.source[:s.offset]
	return position{1 + strings.Count(before, "\n"), 1 + s.offset - (strings.LastIndexByte(before, '\n') + 1)}
}

// fail gives up at the next character.
func (s *scanner) fail(message string) error { return &syntaxError{message, s.here()} }

// peek returns the next character, 0 at the end.
func (s *scanner) peek() byte { return s.peekAt(0) }

func (s *scanner) peekAt(n int) byte {
	if s.offset+n >= len(s.source) {
		return 0
	}
	return s.source[s.offset+n]
}

func (s *scanner) done() bool { return s.offset >= len(s.source) }

// accept steps over the text if it is next.
func (s *scanner) accept(text string) bool {
	if !strings.HasPrefix(s.source[s.offset:], text) {
		return false
	}
	s.offset += len(text)
	return true
}

// blanks steps over spaces and joined lines.
func (s *scanner) blanks() {
	for {
		switch {
		case s.peek() == ' ' || s.peek() == '\t':
			s.offset++
		case s.joined():
		default:
			return
		}
	}
}

// joined steps over a backslash at the end of a line.
func (s *scanner) joined() bool { return s.accept("\\\n") || s.accept("\\\r\n") }

// lines steps over everything between two statements. A comment stands at the
// start of a statement only.
func (s *scanner) lines() {
	for {
		s.blanks()
		switch c := s.peek(); {
		case s.done():
			return
		case c == '\n' || c == '\r' || c == ';':
			s.offset++
		case c == '#':
			if end := strings.IndexByte(s.source[s.offset:], '\n'); end >= 0 {
				s.offset += end
			} else {
				s.offset = len(s.source)
			}
		default:
			return
		}
	}
}

// ended tells whether the statement ends here.
func (s *scanner) ended() bool {
	switch s.peek() {
	case '\n', '\r', ';', ']', '}':
		return true
	}
	return s.done()
}

// run takes the characters that belong holds for.
func (s *scanner) run(belongs func(byte) bool) string {
	start := s.offset
	for !s.done() && belongs(s.peek()) {
		s.offset++
	}
	return s.source[start:s.offset]
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// inName are the characters of commands and arguments.
func inName(c byte) bool {
	return letter(c) || digit(c) || c == '-' || c == '_' || c == '.'
}

// inVariable are the characters of variables that need no quotes.
func inVariable(c byte) bool { return letter(c) || digit(c) }

// inWord are the characters of a value without quotes. Everything else has to
// be quoted; the router lets some more pass, depending on the argument.
func inWord(c byte) bool {
	return letter(c) || digit(c) || strings.IndexByte("-_.:/,*!@+%", c) >= 0
}

// escapes of quoted strings, besides two hexadecimal digits.
var escapes = map[byte]string{
	'"': `"`, '\\': `\`, 'n': "\n", 'r': "\r", 't': "\t", '$': "$", '?': "?", '_': " ",
	'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v",
}

// escape reads what follows a backslash in a string.
func (s *scanner) escape() (string, error) {
	// A joined line: the blanks that begin the next one don't count.
	if s.accept("\n") || s.accept("\r\n") {
		s.run(func(c byte) bool { return c == ' ' || c == '\t' })
		return "", nil
	}
	if c, ok := escapes[s.peek()]; ok && !s.done() {
		s.offset++
		return c, nil
	}
	high, low := hex(s.peek()), hex(s.peekAt(1))
	if high < 0 || low < 0 {
		return "", s.fail("syntax error")
	}
	s.offset += 2
	return string([]byte{byte(high<<4 | low)}), nil
}

// hex is the value of an upper-case digit, -1 for others: the manual wants
// capitals, and \b is the backspace.
func hex(c byte) int {
	switch {
	case digit(c):
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
