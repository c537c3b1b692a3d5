package routertest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// kind says what values a property takes.
type kind interface {
	// parse turns what a client wrote into the form that is kept: the printed
	// one, with references as ids. The name is for the message of refusal.
	parse(r *Router, name, text string) (string, error)
	// show turns the kept form into what print shows.
	show(r *Router, kept string) string
}

// parseKind reads the kind of a property in a schema file: NAME or NAME(ARGS),
// several of them joined by + when each will do.
func parseKind(text string) (kind, error) {
	if parts := splitOutside(text, '+'); len(parts) > 1 {
		var any anyKind
		for _, part := range parts {
			k, err := parseKind(part)
			if err != nil {
				return nil, err
			}
			any = append(any, k)
		}
		return any, nil
	}
	name, args, _ := strings.Cut(text, "(")
	args = strings.TrimSuffix(args, ")")
	switch name {
	case "string":
		return stringKind{}, nil
	case "bool":
		return boolKind{}, nil
	case "enum":
		return enumKind(strings.Split(args, "|")), nil
	case "int":
		return parseIntKind(args)
	case "xint":
		k, err := parseIntKind(args)
		return hexIntKind{k}, err
	case "ranges":
		k, err := parseIntKind(args)
		return rangesKind{k}, err
	case "ref":
		return refKind{strings.Split(args, "|")}, nil
	case "list", "not":
		inner, err := parseKind(args)
		if name == "not" {
			return notKind{inner}, err
		}
		return listKind{inner}, err
	}
	if k, ok := netKinds[name]; ok {
		return k, nil
	}
	return nil, fmt.Errorf("no kind %q", text)
}

// splitOutside cuts at separators that stand outside of parentheses.
func splitOutside(text string, sep byte) []string {
	var parts []string
	depth, from := 0, 0
	for i := range len(text) {
		switch {
		case text[i] == '(':
			depth++
		case text[i] == ')':
			depth--
		case text[i] == sep && depth == 0:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[from:])
}

// plain is the kinds whose kept form is the printed one.
type plain struct{}

func (plain) show(_ *Router, kept string) string { return kept }

// stringKind takes any text.
type stringKind struct{ plain }

func (stringKind) parse(_ *Router, _, text string) (string, error) { return text, nil }

// boolKind takes yes and no and shows true and false, as the API does.
type boolKind struct{ plain }

func (boolKind) parse(_ *Router, name, text string) (string, error) {
	switch text {
	case "yes", "true":
		return "true", nil
	case "no", "false":
		return "false", nil
	}
	return "", trap(categoryArgument, "invalid value of %s, must be either yes or no", name) // [?]
}

// enumKind takes one of its words.
type enumKind []string

func (k enumKind) parse(_ *Router, name, text string) (string, error) {
	if slices.Contains(k, text) {
		return text, nil
	}
	return "", noMatch(name)
}
func (enumKind) show(_ *Router, kept string) string { return kept }

// noMatch is the refusal of a word or a reference that does not exist.
func noMatch(name string) error {
	return trap(categoryArgument, "input does not match any value of %s", name)
}

func badValue(name string) error {
	return trap(categoryArgument, "invalid value for argument %s", name)
}

// intKind takes a whole number within bounds.
type intKind struct {
	plain
	low, high int64
	label     string // what the refusal calls it, when not the property's name
}

func parseIntKind(args string) (intKind, error) {
	span, label, _ := strings.Cut(args, ":")
	low, high, ok := strings.Cut(span, "..")
	k := intKind{label: label}
	var errLow, errHigh error
	k.low, errLow = strconv.ParseInt(low, 10, 64)
	k.high, errHigh = strconv.ParseInt(high, 10, 64)
	if !ok || errLow != nil || errHigh != nil {
		return k, fmt.Errorf("bounds %q: want LOW..HIGH", args)
	}
	return k, nil
}

func (k intKind) parse(_ *Router, name, text string) (string, error) {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		return "", badValue(name)
	}
	if k.label != "" {
		name = k.label
	}
	if n < k.low || n > k.high {
		return "", trap(categoryArgument, "value of %s out of range (%d..%d)", name, k.low, k.high)
	}
	return strconv.FormatInt(n, 10), nil
}

// hexIntKind is a number that print shows as 0x80.
type hexIntKind struct{ intKind }

func (k hexIntKind) parse(r *Router, name, text string) (string, error) {
	kept, err := k.intKind.parse(r, name, text)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(kept)
	return fmt.Sprintf("0x%X", n), err
}

// rangesKind takes numbers and spans of numbers: 10,20-30.
type rangesKind struct{ intKind }

func (k rangesKind) parse(r *Router, name, text string) (string, error) {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		low, high, span := strings.Cut(part, "-")
		first, err := k.intKind.parse(r, name, low)
		if err != nil {
			return "", err
		}
		if span {
			last, err := k.intKind.parse(r, name, high)
			if err != nil {
				return "", err
			}
			first += "-" + last
		}
		parts = append(parts, first)
	}
	return strings.Join(parts, ","), nil
}

// listKind takes values with commas between; the empty list is "".
type listKind struct{ of kind }

func (k listKind) parse(r *Router, name, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		kept, err := k.of.parse(r, name, part)
		if err != nil {
			return "", err
		}
		parts = append(parts, kept)
	}
	return strings.Join(parts, ","), nil
}

func (k listKind) show(r *Router, kept string) string {
	if kept == "" {
		return ""
	}
	parts := strings.Split(kept, ",")
	for i := range parts {
		parts[i] = k.of.show(r, parts[i])
	}
	return strings.Join(parts, ",")
}

// notKind takes a value that an exclamation mark may turn round, as the
// matchers of the firewall do.
type notKind struct{ of kind }

func (k notKind) parse(r *Router, name, text string) (string, error) {
	rest, not := strings.CutPrefix(text, "!")
	kept, err := k.of.parse(r, name, rest)
	if not && err == nil {
		kept = "!" + kept
	}
	return kept, err
}

func (k notKind) show(r *Router, kept string) string {
	if rest, not := strings.CutPrefix(kept, "!"); not {
		return "!" + k.of.show(r, rest)
	}
	return k.of.show(r, kept)
}

// anyKind takes what one of its kinds takes; the last one words the refusal.
type anyKind []kind

func (k anyKind) parse(r *Router, name, text string) (kept string, err error) {
	for _, one := range k {
		if kept, err = one.parse(r, name, text); err == nil {
			return kept, nil
		}
	}
	return "", err
}

// show lets the first kind speak that changes what is kept: only references do.
func (k anyKind) show(r *Router, kept string) string {
	for _, one := range k {
		if shown := one.show(r, kept); shown != kept {
			return shown
		}
	}
	return kept
}

// refKind names a row of one of some menus. It keeps the id, so that a rename
// is followed and a row that is gone shows as its id, as on the device.
type refKind struct{ menus []string }

func (k refKind) parse(r *Router, name, text string) (string, error) {
	for _, path := range k.tables() {
		t := r.tables[path]
		if t == nil {
			continue
		}
		if id, ok := parseID(text); ok {
			if found, _ := t.find(id); found != nil {
				return formatID(id), nil
			}
		}
		if found := t.named(text); found != nil {
			return formatID(found.id), nil
		}
	}
	return "", noMatch(name)
}

func (k refKind) show(r *Router, kept string) string {
	id, ok := parseID(kept)
	if !ok {
		return kept
	}
	for _, path := range k.tables() {
		if t := r.tables[path]; t != nil {
			if found, _ := t.find(id); found != nil {
				return found.fields[t.nameKey()]
			}
		}
	}
	return kept
}

// tables are the menus that hold the rows: /interface is a view of several.
func (k refKind) tables() []string {
	var all []string
	for _, path := range k.menus {
		if path == "/interface" {
			all = append(all, interfaceMenus...)
			continue
		}
		all = append(all, path)
	}
	return all
}
