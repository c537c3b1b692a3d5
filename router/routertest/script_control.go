package routertest

import (
	"errors"
	"maps"
	"slices"
)

// sortedKeys lists the keys of a map in their order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// languageCommand carries out a command of the language.
func (x *run) languageCommand(s *statement) (value, error) {
	switch s.verb {
	case "if":
		yes, err := x.condition(s.values[0])
		if err != nil {
			return nil, err
		}
		if branch := s.blocks[map[bool]string{true: "do", false: "else"}[yes]]; branch != nil {
			return x.block(branch, nil)
		}
		return nil, nil
	case "do":
		return x.doCommand(s)
	case "while":
		return nil, x.while(s.values[0], s.blocks["do"])
	case "for":
		return nil, x.forCommand(s)
	case "foreach":
		return nil, x.foreach(s)
	case "onerror":
		v, err := x.block(s.blocks["in"], nil)
		if message, caught := caught(err); caught {
			return x.block(s.blocks["do"], map[string]value{s.target[0]: message})
		}
		return v, err
	case "local", "global", "set":
		return nil, x.assign(s)
	}
	var values []value
	for _, n := range s.values {
		v, err := x.eval(n, nil)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return x.builtin(s.verb, values)
}

// caught tells whether on-error= holds an error up: refusals it does, a
// script's end not.
func caught(err error) (message string, ok bool) {
	var refusal *Trap
	if errors.As(err, &refusal) {
		return refusal.Message, true
	}
	return "", false
}

// condition evaluates what :if and :while ask.
func (x *run) condition(n node) (bool, error) {
	v, err := x.eval(n, nil)
	if err != nil {
		return false, err
	}
	yes, ok := truth(v)
	if !ok {
		return false, trap(categoryScript, "conditional not boolean")
	}
	return yes, nil
}

func (x *run) doCommand(s *statement) (value, error) {
	v, err := x.block(s.blocks["do"], nil)
	if _, caught := caught(err); caught && s.blocks["on-error"] != nil {
		return x.block(s.blocks["on-error"], nil)
	}
	if again := s.named["while"]; again != nil && err == nil {
		return nil, x.while(again, s.blocks["do"])
	}
	return v, err
}

func (x *run) while(again node, body *block) error {
	for {
		yes, err := x.condition(again)
		if err != nil || !yes {
			return err
		}
		if _, err := x.block(body, nil); err != nil {
			return err
		}
		if x.steps++; x.steps > maxSteps {
			return trap(categoryScript, "script runs without end")
		}
	}
}

func (x *run) forCommand(s *statement) error {
	bounds := map[string]int64{"step": 1}
	for name, n := range s.named {
		v, err := x.eval(n, nil)
		if err != nil {
			return err
		}
		number, ok := toNumber(v)
		if !ok {
			return trap(categoryScript, "invalid value for argument %s", name)
		}
		bounds[name] = number
	}
	from, to, step := bounds["from"], bounds["to"], bounds["step"]
	if _, given := s.named["step"]; !given && to < from {
		step = -1
	}
	if step == 0 {
		return trap(categoryScript, "invalid value for argument step")
	}
	for i := from; step > 0 && i <= to || step < 0 && i >= to; i += step {
		if _, err := x.block(s.blocks["do"], map[string]value{s.target[0]: i}); err != nil {
			return err
		}
		if x.steps++; x.steps > maxSteps {
			return trap(categoryScript, "script runs without end")
		}
	}
	return nil
}

func (x *run) foreach(s *statement) error {
	v, err := x.eval(s.named["in"], nil)
	if err != nil || v == nil {
		return err
	}
	over, ok := v.(*array)
	if !ok {
		over = new(array)
		over.add("", v)
	}
	for i, element := range over.elements {
		variables := map[string]value{s.target[len(s.target)-1]: element}
		if len(s.target) == 2 {
			variables[s.target[0]] = over.keys[i]
			if over.keys[i] == "" {
				variables[s.target[0]] = int64(i)
			}
		}
		if _, err := x.block(s.blocks["do"], variables); err != nil {
			return err
		}
	}
	return nil
}

// assign carries out :local, :global and :set.
func (x *run) assign(s *statement) error {
	var v value
	if len(s.values) == 1 {
		var err error
		if v, err = x.eval(s.values[0], nil); err != nil {
			return err
		}
	}
	name := s.target[0]
	switch s.verb {
	case "local":
		x.scopes[len(x.scopes)-1][name] = v
	case "global":
		if len(s.values) == 1 {
			x.globals[name] = v
		}
	case "set":
		for _, scope := range slices.Backward(x.scopes) {
			if _, ok := scope[name]; ok {
				scope[name] = v
				return nil
			}
		}
		x.globals[name] = v
	}
	return nil
}

// variable looks a variable up, the innermost first.
func (x *run) variable(name string) value {
	for _, scope := range slices.Backward(x.scopes) {
		if v, ok := scope[name]; ok {
			return v
		}
	}
	return x.globals[name]
}
