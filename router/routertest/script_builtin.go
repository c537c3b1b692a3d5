package routertest

import "strings"

// builtin carries out a command of the language that takes values only.
func (x *run) builtin(verb string, v []value) (value, error) {
	switch verb {
	case "put":
		x.output.WriteString(toText(v[0]) + "\n")
	case "error":
		return nil, trap(categoryScript, "%s", toText(v[0]))
	case "return":
		back := new(returned)
		if len(v) == 1 {
			back.value = v[0]
		}
		return nil, back
	case "quit":
		return nil, new(returned)
	case "delay":
		d, ok := toDuration(v[0])
		if !ok || d < 0 {
			return nil, trap(categoryScript, "invalid time value for argument delay-time")
		}
		return nil, x.on.sleep(d)
	case "len":
		if a, ok := v[0].(*array); ok {
			return int64(len(a.elements)), nil
		}
		return int64(len(toText(v[0]))), nil
	case "typeof":
		return typeOf(v[0]), nil
	case "tostr":
		return toText(v[0]), nil
	case "tonum":
		if n, ok := toNumber(v[0]); ok {
			return n, nil
		}
	case "tobool":
		if b, ok := truth(v[0]); ok {
			return b, nil
		}
	case "totime":
		if d, ok := toDuration(v[0]); ok {
			return d, nil
		}
	case "toarray":
		if text, ok := v[0].(string); ok {
			a := new(array)
			for part := range strings.SplitSeq(text, ",") {
				a.add("", fromText(part))
			}
			return a, nil
		}
		return &array{keysOf(v[0]), elementsOf(v[0])}, nil
	case "pick":
		return pick(v)
	case "find":
		return findIn(v)
	}
	return nil, nil
}

// pick cuts a piece out of an array or a string, from a place to before
// another.
func pick(v []value) (value, error) {
	from, ok := toNumber(v[1])
	to, okTo := from+1, true
	if len(v) == 3 {
		to, okTo = toNumber(v[2])
	}
	if !ok || !okTo || from < 0 {
		return nil, trap(categoryScript, "invalid value for argument begin")
	}
	if a, ok := v[0].(*array); ok {
		length := int64(len(a.elements))
		from, to = min(from, length), min(max(to, from), length)
		if len(v) == 2 {
			return a.at(v[1]), nil
		}
		return &array{a.keys[from:to], a.elements[from:to]}, nil
	}
	text := toText(v[0])
	length := int64(len(text))
	from, to = min(from, length), min(max(to, from), length)
	return text[from:to], nil
}

// findIn gives the place of a value in an array or a string; nothing when it
// isn't there. The third value is the place to look behind.
func findIn(v []value) (value, error) {
	after := int64(-1)
	if len(v) == 3 {
		n, ok := toNumber(v[2])
		if !ok || n < -1 {
			return nil, trap(categoryScript, "invalid value for argument from")
		}
		after = n
	}
	if a, ok := v[0].(*array); ok {
		for i, element := range a.elements {
			if int64(i) > after && equal(element, v[1]) {
				return int64(i), nil
			}
		}
		return nil, nil
	}
	text := toText(v[0])
	from := min(after+1, int64(len(text)))
	if i := strings.Index(text[from:], toText(v[1])); i >= 0 {
		return from + int64(i), nil
	}
	return nil, nil
}
