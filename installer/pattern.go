package installer

import (
	"regexp"
	"sync"
)

// Regexp returns a regular expression that is compiled at its first use. The
// agent is started twice before it may speak, and knows many that only some
// machines, or later steps, need: compiling them all took a fifth of each start
// on a slow machine.
func Regexp(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
