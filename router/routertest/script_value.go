package routertest

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// value is what an expression gives: nil (nothing), bool, int64, string,
// time.Duration, itemID or *array.
type value any

// itemID is the internal number of a row, *1F.
type itemID string

// array holds elements; keys are empty for those without.
type array struct {
	keys     []string
	elements []value
}

// typeOf names the type as :typeof does.
func typeOf(v value) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case bool:
		return "bool"
	case int64:
		return "num"
	case time.Duration:
		return "time"
	case itemID:
		return "id"
	case *array:
		return "array"
	case string:
		if _, err := netip.ParseAddr(v); err == nil {
			return "ip"
		}
		if _, err := netip.ParsePrefix(v); err == nil {
			return "ip-prefix"
		}
	}
	return "str"
}

// toText writes a value as a command's argument or a string takes it.
func toText(v value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Duration:
		return formatDuration(v)
	case itemID:
		return string(v)
	case string:
		return v
	}
	var parts []string
	a := v.(*array)
	for i, element := range a.elements {
		part := toText(element)
		if a.keys[i] != "" {
			part = a.keys[i] + "=" + part
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ";")
}

// toArgument is toText, but for the lists of ids and words that commands take.
func toArgument(v value) string {
	a, ok := v.(*array)
	if !ok {
		return toText(v)
	}
	var parts []string
	for _, element := range a.elements {
		parts = append(parts, toText(element))
	}
	return strings.Join(parts, ",")
}

var (
	numberForm = regexp.MustCompile(`^(0x[0-9a-fA-F]+|[0-9]+)$`)
	idForm     = regexp.MustCompile(`^\*[0-9A-Fa-f]+$`)
)

// fromText types a word as the router does: 10 is a number, 1h a time, yes a
// truth value, *1F an id, and the rest strings.
func fromText(word string) value {
	switch word {
	case "true", "yes":
		return true
	case "false", "no":
		return false
	}
	if numberForm.MatchString(word) {
		if n, err := strconv.ParseInt(word, 0, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			return n
		}
	}
	if idForm.MatchString(word) {
		return itemID(word)
	}
	if d, ok := parseDuration(word); ok {
		return d
	}
	return word
}

// truth is what conditions ask for.
func truth(v value) (bool, bool) {
	if b, ok := v.(bool); ok {
		return b, true
	}
	b, ok := fromText(toText(v)).(bool)
	return b, ok
}

// toNumber reads a number.
func toNumber(v value) (int64, bool) {
	if n, ok := v.(int64); ok {
		return n, true
	}
	n, ok := fromText(toText(v)).(int64)
	return n, ok
}

// toDuration reads a time; a bare number is seconds.
func toDuration(v value) (time.Duration, bool) {
	switch v := v.(type) {
	case time.Duration:
		return v, true
	case int64:
		return time.Duration(v) * time.Second, true
	case string:
		if n, ok := toNumber(v); ok {
			return time.Duration(n) * time.Second, true
		}
		return parseDuration(v)
	}
	return 0, false
}

// equal compares as the router's = does, after giving both the type that their
// texts have: "1h" is 01:00:00, and yes is true.
func equal(x, y value) bool {
	a, b := fromText(toText(x)), fromText(toText(y))
	if typeOf(a) == "array" || typeOf(b) == "array" {
		return toText(x) == toText(y)
	}
	return a == b
}
