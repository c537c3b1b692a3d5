package publish

import (
	_ "embed"
	"strings"

	"provision.internal/installer"
)

//go:embed hook.sh
var hook string

// Hook is a post-receive hook for Git: it calls command (a program with its
// flags, to which it adds the repository and --revision) when branch was pushed.
func Hook(branch string, command []string) string {
	words := make([]string, len(command))
	for i, word := range command {
		words[i] = installer.Quote(word)
	}
	return strings.NewReplacer("@BRANCH@", installer.Quote(branch), "@COMMAND@", strings.Join(words, " ")).Replace(hook)
}
