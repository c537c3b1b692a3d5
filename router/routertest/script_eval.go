package routertest

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// eval gives the value of an expression; row is the one that a where looks at.
func (x *run) eval(n node, row record) (value, error) {
	switch n := n.(type) {
	case constNode:
		return n.value, nil
	case varNode:
		return x.variable(n.name), nil
	case propNode:
		if text, ok := row[n.name]; ok {
			return fromText(text), nil
		}
		return nil, nil
	case textNode:
		var whole strings.Builder
		for _, part := range n.parts {
			v, err := x.eval(part, row)
			if err != nil {
				return nil, err
			}
			whole.WriteString(toText(v))
		}
		return whole.String(), nil
	case resultNode:
		return x.block(n.block, nil)
	case listNode:
		a := new(array)
		for i, element := range n.elements {
			v, err := x.eval(element, row)
			if err != nil {
				return nil, err
			}
			a.add(n.keys[i], v)
		}
		return a, nil
	case unaryNode:
		v, err := x.eval(n.x, row)
		if err != nil {
			return nil, err
		}
		return negate(n.operator, v)
	}
	b := n.(binaryNode)
	left, err := x.eval(b.x, row)
	if err != nil {
		return nil, err
	}
	right, err := x.eval(b.y, row)
	if err != nil {
		return nil, err
	}
	return operation(b.operator, left, right)
}

// negate carries out an operator before one value.
func negate(operator string, v value) (value, error) {
	if operator == "!" {
		if v == nil { // a property that the row doesn't have
			return true, nil
		}
		if b, ok := truth(v); ok {
			return !b, nil
		}
	}
	if n, ok := toNumber(v); ok && operator == "-" {
		return -n, nil
	}
	if n, ok := toNumber(v); ok && operator == "~" {
		return ^n, nil
	}
	return nil, trap(categoryScript, "cannot apply %s to %s", operator, typeOf(v))
}

// operation carries out an operator between two values.
func operation(operator string, x, y value) (value, error) {
	switch operator {
	case "=":
		return equal(x, y), nil
	case "!=":
		return !equal(x, y), nil
	case ".":
		return toText(x) + toText(y), nil
	case ",":
		return &array{append(keysOf(x), keysOf(y)...), append(elementsOf(x), elementsOf(y)...)}, nil
	case "~":
		expression, err := regexp.Compile(toText(y))
		if err != nil {
			return nil, trap(categoryScript, "invalid regular expression %q", toText(y))
		}
		return expression.MatchString(toText(x)), nil
	case "in":
		return slices.ContainsFunc(elementsOf(y), func(e value) bool { return equal(x, e) }), nil
	case "->":
		if a, ok := x.(*array); ok {
			return a.at(y), nil
		}
	case "&&", "||":
		a, okA := truth(x)
		b, okB := truth(y)
		if okA || x == nil { // a property that the row doesn't have is no
			if okB || y == nil {
				return operator == "&&" && a && b || operator == "||" && (a || b), nil
			}
		}
	case "<", ">", "<=", ">=":
		if order, ok := compare(x, y); ok {
			return order < 0 && operator[0] == '<' || order > 0 && operator[0] == '>' || order == 0 && len(operator) == 2, nil
		}
	default:
		if v, ok := arithmetic(operator, x, y); ok {
			return v, nil
		}
	}
	return nil, trap(categoryScript, "cannot apply %s to %s and %s", operator, typeOf(x), typeOf(y))
}

// compare orders numbers, times and strings.
func compare(x, y value) (int, bool) {
	if a, ok := toNumber(x); ok {
		if b, ok := toNumber(y); ok {
			return cmp.Compare(a, b), true
		}
	}
	if a, ok := toDuration(x); ok {
		if b, ok := toDuration(y); ok {
			return cmp.Compare(a, b), true
		}
	}
	a, okA := x.(string)
	b, okB := y.(string)
	return cmp.Compare(a, b), okA && okB
}

// arithmetic works on numbers, and adds times.
func arithmetic(operator string, x, y value) (value, bool) {
	a, okA := toNumber(x)
	b, okB := toNumber(y)
	if !okA || !okB {
		d, okD := x.(time.Duration)
		e, okE := toDuration(y)
		switch {
		case !okD || !okE:
			return nil, false
		case operator == "+":
			return d + e, true
		case operator == "-":
			return d - e, true
		}
		return nil, false
	}
	switch operator {
	case "+":
		return a + b, true
	case "-":
		return a - b, true
	case "*":
		return a * b, true
	case "/":
		if b != 0 {
			return a / b, true
		}
	case "%":
		if b != 0 {
			return a % b, true
		}
	case "&":
		return a & b, true
	case "|":
		return a | b, true
	case "^":
		return a ^ b, true
	case "<<":
		return a << uint64(b&63), true
	case ">>":
		return a >> uint64(b&63), true
	}
	return nil, false
}

// elementsOf gives what a value holds: an array's elements, or itself.
func elementsOf(v value) []value {
	if a, ok := v.(*array); ok {
		return slices.Clone(a.elements)
	}
	return []value{v}
}

func keysOf(v value) []string {
	if a, ok := v.(*array); ok {
		return slices.Clone(a.keys)
	}
	return []string{""}
}

// at gives the element with the key or the number; nothing when there is none.
func (a *array) at(key value) value {
	if i := slices.Index(a.keys, toText(key)); i >= 0 && toText(key) != "" {
		return a.elements[i]
	}
	if n, ok := toNumber(key); ok && n >= 0 && n < int64(len(a.elements)) {
		return a.elements[n]
	}
	return nil
}
