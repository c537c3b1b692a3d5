package routertest

import (
	"fmt"
	"slices"
)

// dictionary tells the parser what the router has. Commands, arguments and
// properties that it doesn't have are errors of syntax: the router finds them
// before it runs anything.
type dictionary interface {
	// hasMenu tells whether path is a menu or leads to one ("/ip").
	hasMenu(path string) bool
	// params lists the arguments of a command; false when there is none.
	params(menu, verb string) ([]string, bool)
	// hasProperty tells whether rows of the menu have it.
	hasProperty(menu, name string) bool
}

// parser turns the text of a script into statements.
type parser struct {
	scanner
	words  dictionary
	scopes []map[string]bool // declared variables
	depth  int
}

// maxDepth bounds how far blocks and expressions nest.
const maxDepth = 100

// parseScript reads a whole script. Its error is a *syntaxError.
func parseScript(source string, words dictionary) (*block, error) {
	p := &parser{scanner: scanner{source: source}, words: words}
	return p.block(0, "", nil)
}

// block reads statements up to the character end, which it steps over; 0 is
// the end of the script. The variables are declared in it from the start.
func (p *parser) block(end byte, menu string, variables []string) (*block, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail("script is nested too deep")
	}
	scope := map[string]bool{}
	for _, name := range variables {
		scope[name] = true
	}
	p.scopes = append(p.scopes, scope)
	defer func() { p.depth--; p.scopes = p.scopes[:len(p.scopes)-1] }()
	b := new(block)
	for {
		p.lines()
		switch {
		case p.done() && end == 0:
			return b, nil
		case p.done():
			return nil, p.fail("expected closing brace")
		case end != 0 && p.accept(string(end)):
			return b, nil
		}
		s, err := p.statement(&menu)
		if err != nil {
			return nil, err
		}
		if s != nil {
			b.statements = append(b.statements, s)
		}
		p.blanks()
		if !p.ended() {
			return nil, p.fail("expected end of command")
		}
	}
}

// statement reads one command. A path alone changes the menu of those that
// follow and gives no statement.
func (p *parser) statement(menu *string) (*statement, error) {
	s := &statement{at: p.here(), named: map[string]node{}, blocks: map[string]*block{}}
	if p.accept("{") {
		scope, err := p.block('}', *menu, nil)
		s.scope = scope
		return s, err
	}
	path := *menu
	colon := p.accept(":")
	if colon {
		path = ""
	} else if p.accept("/") {
		path = ""
		if p.blanks(); p.ended() {
			*menu = ""
			return nil, nil
		}
	}
	alone := true // no menu is written before the command
	for {
		name := p.run(inName)
		if name == "" {
			return nil, p.fail("expected command name")
		}
		if p.words.hasMenu(path + "/" + name) {
			path += "/" + name
			alone = false
			p.blanks()
			p.accept("/")
			p.blanks()
			if p.ended() {
				*menu = path
				return nil, nil
			}
			continue
		}
		s.menu, s.verb = path, name
		break
	}
	if _, ok := p.words.params(s.menu, s.verb); ok {
		return s, p.menuArguments(s)
	}
	// Commands of the language work everywhere, with or without the colon.
	if l, ok := language[s.verb]; ok && alone {
		s.menu, s.inLanguage = "", true
		return s, p.languageArguments(s, l, *menu)
	}
	return nil, &syntaxError{fmt.Sprintf("bad command name %s", s.verb), s.at}
}

// menuArguments reads the arguments of a command of a menu.
func (p *parser) menuArguments(s *statement) error {
	params, _ := p.words.params(s.menu, s.verb)
	for {
		p.blanks()
		if p.ended() {
			return nil
		}
		at, start := p.here(), p.offset
		name, isNamed := p.argumentName()
		switch {
		case s.verb == "find" && (name != "where" || isNamed):
			p.offset = start
			return p.whereArgument(s)
		case (s.verb == "find" || s.verb == "print") && name == "where" && !isNamed:
			return p.whereArgument(s)
		case isNamed && !slices.Contains(params, name):
			return &syntaxError{fmt.Sprintf("expected end of command: %s %s has no argument %s", s.menu, s.verb, name), at}
		case isNamed:
			if s.named[name] != nil {
				return &syntaxError{fmt.Sprintf("argument %s is given twice", name), at}
			}
			v, err := p.value(s.menu)
			if err != nil {
				return err
			}
			s.named[name] = v
		case name != "" && (s.verb == "print" || slices.Contains(flagWords, name)):
			if !slices.Contains(flagWords, name) {
				return &syntaxError{"expected end of command", at}
			}
			s.flags = append(s.flags, name)
		default:
			p.offset = start
			v, err := p.value(s.menu)
			if err != nil {
				return err
			}
			if len(s.values) == len(positional(s.verb)) {
				return &syntaxError{"expected end of command", at}
			}
			s.values = append(s.values, v)
		}
	}
}

// flagWords are arguments without a value.
var flagWords = []string{"count-only", "as-value", "detail", "brief", "terse", "without-paging"}

// positional names the arguments that a command takes without their names.
func positional(verb string) []string {
	switch verb {
	case "set", "remove", "enable", "disable", "comment", "reset":
		return []string{"numbers"}
	case "unset":
		return []string{"numbers", "value-name"}
	case "get":
		return []string{"number", "value-name"}
	case "move":
		return []string{"numbers", "destination"}
	case "run", "sign":
		return []string{"number"}
	case "info", "warning", "error", "debug":
		return []string{"message"}
	}
	return nil
}

// argumentName reads a word and, when "=" follows at once, steps over that.
func (p *parser) argumentName() (name string, isNamed bool) {
	start := p.offset
	name = p.run(inName)
	if name != "" && p.peek() == '=' {
		p.offset++
		return name, true
	}
	if !p.ended() && p.peek() != ' ' && p.peek() != '\t' && p.peek() != '\\' {
		p.offset = start // a longer word than a name
		return "", false
	}
	return name, false
}

// whereArgument reads the conditions of find and print; several side by side
// must all hold.
func (p *parser) whereArgument(s *statement) error {
	for {
		p.blanks()
		if p.ended() {
			return nil
		}
		at := p.here()
		condition, err := p.expression(s.menu, true)
		if err != nil {
			return err
		}
		if name := p.unknownProperty(condition, s.menu); name != "" {
			return &syntaxError{fmt.Sprintf("expected end of command: %s has no property %s", s.menu, name), at}
		}
		if s.where != nil {
			condition = binaryNode{"&&", s.where, condition}
		}
		s.where = condition
	}
}

// unknownProperty finds a property in the condition that rows don't have.
func (p *parser) unknownProperty(n node, menu string) string {
	switch n := n.(type) {
	case propNode:
		if n.name != ".id" && !p.words.hasProperty(menu, n.name) {
			return n.name
		}
	case unaryNode:
		return p.unknownProperty(n.x, menu)
	case binaryNode:
		if name := p.unknownProperty(n.x, menu); name != "" {
			return name
		}
		return p.unknownProperty(n.y, menu)
	}
	return ""
}

// declare makes a variable known from here to the end of its block.
func (p *parser) declare(name string) { p.scopes[len(p.scopes)-1][name] = true }

// declared tells whether a variable is known here.
func (p *parser) declared(name string) bool {
	return slices.ContainsFunc(p.scopes, func(scope map[string]bool) bool { return scope[name] })
}
