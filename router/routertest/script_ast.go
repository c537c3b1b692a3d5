package routertest

import "fmt"

// position is a place in a script, both from 1.
type position struct{ line, column int }

// syntaxError is why a script isn't run at all: the router reads a script
// wholly before it carries out its first command, so that no on-error= of the
// script can catch it.
type syntaxError struct {
	message string
	at      position
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("%s (line %d column %d)", e.message, e.at.line, e.at.column)
}

// block is a list of statements with a scope of its own.
type block struct{ statements []*statement }

// statement is one command, or a block when command is nil.
type statement struct {
	at         position
	scope      *block
	inLanguage bool   // the command is one of the language, such as :if
	menu       string // "/ip/address"; empty for commands of no menu
	verb       string
	target     []string          // variables that :local, :set, :for… name
	values     []node            // without a name, in order
	named      map[string]node   // name=value
	blocks     map[string]*block // do={…}
	flags      []string          // words without a value, such as count-only
	where      node              // of find and print; nil: everything
}

// node is an expression.
type node interface{ isNode() }

type (
	// constNode is a constant; word is how it was written without quotes, since
	// an argument may want "yes" where an expression has true.
	constNode struct {
		value value
		word  string
	}
	// textNode is a quoted string; parts are constants and what $ puts in.
	textNode struct{ parts []node }
	// varNode is $name.
	varNode struct{ name string }
	// propNode is a property of the row that a where looks at.
	propNode struct{ name string }
	// resultNode is [command]: what the last of the commands gave.
	resultNode struct{ block *block }
	// unaryNode is !x or -x.
	unaryNode struct {
		operator string
		x        node
	}
	// binaryNode has its operator between two expressions.
	binaryNode struct {
		operator string
		x, y     node
	}
	// listNode is {1;2} or {a=1;b=2}; keys are empty for elements without.
	listNode struct {
		keys     []string
		elements []node
	}
)

func (constNode) isNode()  {}
func (textNode) isNode()   {}
func (varNode) isNode()    {}
func (propNode) isNode()   {}
func (resultNode) isNode() {}
func (unaryNode) isNode()  {}
func (binaryNode) isNode() {}
func (listNode) isNode()   {}
