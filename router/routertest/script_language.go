package routertest

import (
	"fmt"
	"slices"
)

// construct is the shape of a command of the language itself.
type construct struct {
	targets  bool     // begins with the name of a variable
	body     bool     // begins with a block, kept as "do"
	declares bool     // the variable is new: here for local and global, else in do
	min, max int      // values without a name
	named    []string // values with a name
	blocks   []string // blocks with a name
}

// language holds what works in every menu. What the router has and scripts
// for it rarely need (:parse, :resolve, :retry, functions …) is not there.
var language = map[string]construct{
	"if":      {min: 1, max: 1, blocks: []string{"do", "else"}},
	"do":      {body: true, named: []string{"while"}, blocks: []string{"on-error"}},
	"while":   {min: 1, max: 1, blocks: []string{"do"}},
	"for":     {targets: true, declares: true, named: []string{"from", "to", "step"}, blocks: []string{"do"}},
	"foreach": {targets: true, declares: true, named: []string{"in"}, blocks: []string{"do"}},
	"onerror": {targets: true, declares: true, blocks: []string{"in", "do"}},
	"local":   {targets: true, declares: true, max: 1},
	"global":  {targets: true, declares: true, max: 1},
	"set":     {targets: true, max: 1},
	"put":     {min: 1, max: 1},
	"error":   {min: 1, max: 1},
	"delay":   {min: 1, max: 1},
	"return":  {max: 1},
	"nothing": {},
	"len":     {min: 1, max: 1},
	"typeof":  {min: 1, max: 1},
	"tostr":   {min: 1, max: 1},
	"tonum":   {min: 1, max: 1},
	"tobool":  {min: 1, max: 1},
	"totime":  {min: 1, max: 1},
	"toarray": {min: 1, max: 1},
	"pick":    {min: 2, max: 3},
	"find":    {min: 2, max: 3},
	"quit":    {},
}

// required are the blocks and values that a construct can't be without.
var required = map[string][]string{
	"if": {"do"}, "while": {"do"}, "for": {"from", "to", "do"}, "foreach": {"in", "do"}, "onerror": {"in", "do"},
}

// languageArguments reads the arguments of a command of the language.
func (p *parser) languageArguments(s *statement, c construct, menu string) error {
	if c.targets {
		if err := p.targets(s, c); err != nil {
			return err
		}
	}
	if c.body {
		if p.blanks(); !p.accept("{") {
			return p.fail("expected command block")
		}
		b, err := p.block('}', menu, nil)
		if err != nil {
			return err
		}
		s.blocks["do"] = b
	}
	for p.blanks(); !p.ended(); p.blanks() {
		name, isNamed := p.argumentName()
		var err error
		switch {
		case isNamed && s.named[name] == nil && s.blocks[name] == nil && slices.Contains(c.named, name):
			s.named[name], err = p.value(menu)
		case isNamed && s.blocks[name] == nil && slices.Contains(c.blocks, name):
			if !p.accept("{") {
				return p.fail("expected command block")
			}
			var fresh []string
			if c.declares && name == "do" {
				fresh = s.target
			}
			s.blocks[name], err = p.block('}', menu, fresh)
		case isNamed || len(s.values) == c.max:
			return &syntaxError{"expected end of command", s.at}
		default:
			p.offset -= len(name)
			var v node
			v, err = p.value(menu)
			s.values = append(s.values, v)
		}
		if err != nil {
			return err
		}
	}
	if len(s.values) < c.min {
		return p.fail(fmt.Sprintf("missing value(s) of argument(s) of %s", s.verb))
	}
	for _, name := range required[s.verb] {
		if s.named[name] == nil && s.blocks[name] == nil {
			return p.fail(fmt.Sprintf("missing value(s) of argument(s) %s", name))
		}
	}
	if c.declares && len(c.blocks) == 0 {
		p.declare(s.target[0])
	}
	return nil
}

// targets reads the variables that a command names: one, or two for the keys
// and values of :foreach.
func (p *parser) targets(s *statement, c construct) error {
	for {
		p.blanks()
		quote := p.accept(`"`)
		name := p.run(func(b byte) bool { return inVariable(b) || quote && inName(b) })
		if name == "" || quote && !p.accept(`"`) {
			return p.fail("expected variable name")
		}
		if !c.declares && !p.declared(name) {
			return &syntaxError{"undefined variable " + name, s.at}
		}
		s.target = append(s.target, name)
		if s.verb != "foreach" || len(s.target) == 2 || !p.accept(",") {
			return nil
		}
	}
}
