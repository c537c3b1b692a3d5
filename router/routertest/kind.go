package routertest

import (
	"fmt"
	"strings"
)

// kind says what values a property takes.
type kind interface {
	// parse turns what a client wrote into the printed form that is kept. The
	// property's name is for the message of refusal.
	parse(r *Router, name, text string) (string, error)
	// show turns the kept form into what print shows.
	show(r *Router, kept string) string
}

// parseKind reads the kind of a property in a schema file.
func parseKind(text string) (kind, error) {
	name, _, _ := strings.Cut(text, "(")
	switch name {
	case "string":
		return stringKind{}, nil
	case "bool":
		return boolKind{}, nil
	}
	return nil, fmt.Errorf("no kind %q", text)
}

// stringKind takes any text.
type stringKind struct{}

func (stringKind) parse(_ *Router, _, text string) (string, error) { return text, nil }
func (stringKind) show(_ *Router, kept string) string              { return kept }

// boolKind takes yes and no and shows true and false, as the API does.
type boolKind struct{}

func (boolKind) parse(_ *Router, name, text string) (string, error) {
	switch text {
	case "yes", "true":
		return "true", nil
	case "no", "false":
		return "false", nil
	}
	return "", trap(categoryArgument, "invalid value of %s, must be one of yes, no", name)
}
func (boolKind) show(_ *Router, kept string) string { return kept }
