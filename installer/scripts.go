package installer

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed scripts
var scripts embed.FS

// Quote returns s as one word of sh: whatever it holds, the shell reads exactly
// s. It is the only way by which a value enters a script. A NUL byte, which no
// shell can hold, is dropped.
func Quote(s string) string {
	s = strings.ReplaceAll(s, "\x00", "")
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// FirstBootRun is the run file of the first-boot service.
func FirstBootRun() string {
	return render("firstboot.run", map[string]string{"BINARY": AgentBinary})
}

// render fills the @NAME@ places of an embedded script, each value quoted.
func render(name string, values map[string]string) string {
	pairs := make([]string, 0, 2*len(values))
	for key, value := range values {
		pairs = append(pairs, "@"+key+"@", Quote(value))
	}
	return strings.NewReplacer(pairs...).Replace(script(name))
}

// script returns an embedded script as it is.
func script(name string) string {
	text, err := scripts.ReadFile("scripts/" + name)
	if err != nil {
		panic(fmt.Sprintf("the embedded script %s: %v", name, err))
	}
	return string(text)
}
