package routertest

import (
	"regexp"
	"slices"
)

// value reads one value of an argument: quoted, in brackets, a variable, or a
// bare word. Nothing may be joined to it.
func (p *parser) value(menu string) (node, error) {
	var n node
	var err error
	switch c := p.peek(); {
	case c == '"':
		n, err = p.quoted(menu)
	case c == '$':
		n, err = p.variable(menu)
	case c == '[':
		n, err = p.result(menu)
	case c == '(':
		n, err = p.parenthesis(menu)
	case c == '{':
		n, err = p.list(menu)
	default:
		word := p.run(inWord)
		if word == "" {
			return nil, p.fail("syntax error")
		}
		n = constNode{fromText(word), word}
	}
	if err != nil {
		return nil, err
	}
	if c := p.peek(); !p.ended() && c != ' ' && c != '\t' && c != '\\' {
		return nil, p.fail("expected end of command")
	}
	return n, nil
}

// quoted reads a string.
func (p *parser) quoted(menu string) (node, error) {
	p.offset++
	var t textNode
	var plain []byte
	for {
		switch c := p.peek(); {
		case p.done() || c == '\n' || c == '\r':
			return nil, p.fail("expected closing quote")
		case c == '"':
			p.offset++
			if t.parts == nil {
				return constNode{value: string(plain)}, nil
			}
			t.parts = append(t.parts, constNode{value: string(plain)})
			return t, nil
		case c == '\\':
			p.offset++
			part, err := p.escape()
			if err != nil {
				return nil, err
			}
			plain = append(plain, part...)
		case c == '$':
			n, err := p.variable(menu)
			if err != nil {
				return nil, err
			}
			t.parts = append(t.parts, constNode{value: string(plain)}, n)
			plain = nil
		default:
			plain = append(plain, c)
			p.offset++
		}
	}
}

// variable reads what follows a $: a name, a name in quotes, an expression or
// a command.
func (p *parser) variable(menu string) (node, error) {
	at := p.here()
	p.offset++
	switch p.peek() {
	case '(':
		return p.parenthesis(menu)
	case '[':
		return p.result(menu)
	}
	quote := p.accept(`"`)
	name := p.run(func(c byte) bool { return inVariable(c) || quote && inName(c) })
	if name == "" || quote && !p.accept(`"`) {
		return nil, p.fail("expected variable name")
	}
	if !p.declared(name) {
		return nil, &syntaxError{"undefined variable " + name, at}
	}
	return varNode{name}, nil
}

// result reads [command]. Its menu is that of the command around it.
func (p *parser) result(menu string) (node, error) {
	p.offset++
	b, err := p.block(']', menu, nil)
	return resultNode{b}, err
}

// parenthesis reads (expression).
func (p *parser) parenthesis(menu string) (node, error) {
	p.offset++
	n, err := p.expression(menu, false)
	if err != nil {
		return nil, err
	}
	if p.blanks(); !p.accept(")") {
		return nil, p.fail("expected closing parenthesis")
	}
	return n, nil
}

// list reads {1;2;key=3}.
func (p *parser) list(menu string) (node, error) {
	p.offset++
	var l listNode
	for {
		p.lines()
		if p.accept("}") {
			return l, nil
		}
		key := ""
		if name, isNamed := p.argumentName(); isNamed {
			key = name
		} else {
			p.offset -= len(name)
		}
		element, err := p.operand(menu, false)
		if err != nil {
			return nil, err
		}
		l.keys, l.elements = append(l.keys, key), append(l.elements, element)
		if p.blanks(); p.peek() != ';' && p.peek() != '}' {
			return nil, p.fail("expected closing brace")
		}
	}
}

// operators by rising precedence. Longer ones come first in their row.
var operators = [][]string{
	{"||", "or"},
	{"&&", "and"},
	{"!=", "<=", ">=", "=", "<", ">", "~", "in"},
	{".", ","},
	{"|", "^", "&"},
	{"<<", ">>"},
	{"+", "-"},
	{"*", "/", "%"},
	{"->"},
}

// expression reads operands with operators between them. In a where, a word on
// its own is a property, and one behind an operator a string.
func (p *parser) expression(menu string, where bool) (node, error) {
	return p.level(0, menu, where)
}

func (p *parser) level(n int, menu string, where bool) (node, error) {
	if n == len(operators) {
		return p.operand(menu, where)
	}
	x, err := p.level(n+1, menu, where)
	if err != nil {
		return nil, err
	}
	for {
		before := p.offset
		p.blanks()
		operator := p.operator(n)
		if operator == "" {
			p.offset = before
			return x, nil
		}
		p.blanks()
		y, err := p.level(n+1, menu, where)
		if err != nil {
			return nil, err
		}
		if word, ok := y.(propNode); ok && n > 1 {
			y = constNode{value: fromText(word.name), word: word.name}
		}
		x = binaryNode{operator, x, y}
	}
}

// operator takes an operator of the level, "" when none is next.
func (p *parser) operator(n int) string {
	for _, operator := range operators[n] {
		start := p.offset
		if !p.accept(operator) {
			continue
		}
		word := letter(operator[0])
		longer := slices.Contains([]string{"<", ">", "|", "&"}, operator) && p.peek() == operator[0]
		if (word && inName(p.peek())) || longer || operator == "-" && p.peek() == '>' {
			p.offset = start
			continue
		}
		switch operator {
		case "or":
			return "||"
		case "and":
			return "&&"
		}
		return operator
	}
	return ""
}

// constants are the literals that need no quotes inside of an expression, the
// longest forms first.
var constants = []*regexp.Regexp{
	regexp.MustCompile(`^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}`),        // MAC address
	regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?`), // address, prefix
	regexp.MustCompile(`^([0-9]+[wd])*[0-9]{1,2}:[0-9]{2}:[0-9]{2}`), // time
	regexp.MustCompile(`^([0-9]+(ms|us|w|d|h|m|s))+`),                // time
	regexp.MustCompile(`^\*[0-9A-Fa-f]+`),                            // id
	regexp.MustCompile(`^(0x[0-9a-fA-F]+|[0-9]+)`),                   // number
}

// wordForm is a property or, behind an operator, a string.
var wordForm = regexp.MustCompile(`^\.?[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*`)

// operand reads what stands beside an operator.
func (p *parser) operand(menu string, where bool) (node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail("script is nested too deep")
	}
	defer func() { p.depth-- }()
	p.blanks()
	switch c := p.peek(); {
	case c == '!' || c == '-' || c == '~' && !where:
		p.offset++
		x, err := p.operand(menu, where)
		return unaryNode{string(c), x}, err
	case c == '"':
		return p.quoted(menu)
	case c == '$':
		return p.variable(menu)
	case c == '[':
		return p.result(menu)
	case c == '{':
		return p.list(menu)
	case c == '(' && where:
		p.offset++
		n, err := p.expression(menu, true)
		if err == nil {
			if p.blanks(); !p.accept(")") {
				err = p.fail("expected closing parenthesis")
			}
		}
		return n, err
	case c == '(':
		return p.parenthesis(menu)
	}
	rest := p.source[p.offset:]
	for _, form := range constants {
		if m := form.FindString(rest); m != "" && (len(m) == len(rest) || !letter(rest[len(m)])) {
			p.offset += len(m)
			return constNode{value: fromText(m), word: m}, nil
		}
	}
	word := wordForm.FindString(rest)
	if word == "" {
		return nil, p.fail("syntax error")
	}
	p.offset += len(word)
	if v := fromText(word); typeOf(v) == "bool" {
		return constNode{value: v, word: word}, nil
	}
	if !where {
		p.offset -= len(word)
		return nil, p.fail("syntax error: a string here wants quotes")
	}
	return propNode{word}, nil
}
