package routertest

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// compileQuery turns the query words of a command into a test of a row. As the
// manual has it: each word pushes a truth on a stack that is true all the way
// down, #-words work on the stack, and a row passes when no false is left.
func compileQuery(args []arg) (func(record) bool, error) {
	var words []string
	for _, a := range args {
		if a.name == "?" {
			words = append(words, a.value)
		}
	}
	for _, word := range words {
		if rest, ok := strings.CutPrefix(word, "#"); ok && strings.Trim(rest, "!&|.0123456789") != "" {
			return nil, trap(categoryAPI, "unknown query operation %s", word)
		}
	}
	return func(rec record) bool {
		var stack []bool
		for _, word := range words {
			if operations, ok := strings.CutPrefix(word, "#"); ok {
				stack = operate(stack, operations)
				continue
			}
			stack = append(stack, satisfies(rec, word))
		}
		return !slices.Contains(stack, false)
	}, nil
}

// operate works on the stack: ! turns the top round, & and | join the two on
// top, N. copies the value that lies N deep, a final N leaves that one alone,
// and a lone . copies the top.
func operate(stack []bool, operations string) []bool {
	peek := func(depth int) bool {
		return depth >= len(stack) || stack[len(stack)-1-depth]
	}
	pop := func() bool {
		top := peek(0)
		stack = stack[:max(len(stack)-1, 0)]
		return top
	}
	indexed := false
	for i := 0; i < len(operations); i++ {
		switch o := operations[i]; {
		case o == '!':
			stack = append(stack, !pop())
		case o == '&':
			a, b := pop(), pop()
			stack = append(stack, a && b)
		case o == '|':
			a, b := pop(), pop()
			stack = append(stack, a || b)
		case o == '.' && !indexed:
			stack = append(stack, peek(0))
		case o == '.':
		default:
			end := i
			for end < len(operations) && operations[end] >= '0' && operations[end] <= '9' {
				end++
			}
			depth, err := strconv.Atoi(operations[i:end])
			if err != nil {
				depth = len(stack) // deeper than any stack: true
			}
			if end == len(operations) {
				return []bool{peek(depth)}
			}
			stack = append(stack, peek(depth))
			i = end - 1
			indexed = true
			continue
		}
		indexed = false
	}
	return stack
}

// satisfies answers one query word: NAME, -NAME, NAME=X, =NAME=X, <NAME=X, >NAME=X.
func satisfies(rec record, word string) bool {
	if name, ok := strings.CutPrefix(word, "-"); ok {
		_, has := rec[name]
		return !has
	}
	order := byte('=')
	if word != "" && strings.IndexByte("<>=", word[0]) >= 0 {
		order, word = word[0], word[1:]
	}
	name, want, compares := strings.Cut(word, "=")
	value, has := rec[name]
	if !compares || !has {
		return has && !compares
	}
	switch order {
	case '<':
		return compareValues(value, want) < 0
	case '>':
		return compareValues(value, want) > 0
	}
	return value == want || asBool(value) == want
}

// asBool spells true and false as the console does; queries take both.
func asBool(value string) string {
	switch value {
	case "true":
		return "yes"
	case "false":
		return "no"
	}
	return value
}

// compareValues orders numbers, ids and addresses as such, all else as text.
func compareValues(a, b string) int {
	if x, err := strconv.ParseInt(a, 10, 64); err == nil {
		if y, err := strconv.ParseInt(b, 10, 64); err == nil {
			return int(min(max(x-y, -1), 1))
		}
	}
	if x, ok := parseID(a); ok {
		if y, ok := parseID(b); ok {
			return x - y
		}
	}
	if x, err := netip.ParseAddr(a); err == nil {
		if y, err := netip.ParseAddr(b); err == nil {
			return x.Compare(y)
		}
	}
	return strings.Compare(a, b)
}
