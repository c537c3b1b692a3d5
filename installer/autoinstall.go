package installer

import "strings"

// The scripts that configure the autoinstaller of a NETBOOT image. They are
// served over plain HTTP and hold nothing secret.

// Words below a host's autoinstall URL by which its script asks and tells: GET,
// since upstream's image has no program that could do more.
const (
	AutoinstallTake   = "take"   // burns the grant: see package httpboot
	AutoinstallStep   = "step"   // is at a step
	AutoinstallDone   = "done"   // the disk is bootable
	AutoinstallFailed = "failed" // gives up
)

// CarriedArgument starts the agent inside of an initrd that is not ours.
const CarriedArgument = "carried"

// Carrier makes an autoinstaller carry our agent: it fetches the agent, places
// the overlay and runs it. All fields must be set.
type Carrier struct {
	Host    string // for whoever reads the script
	URL     string // of this host's autoinstall requests, without a final slash
	Agent   string // URL of the agent's binary
	SHA256  string // of the agent, hex
	Overlay string // content of OverlayFile
	CA      string // content of OverlayCA
}

// Script returns the configuration.
func (c Carrier) Script() string {
	return autoinstall(c.Host, c.URL, "agent", map[string][]string{
		"BINARY": {AgentBinary}, "AGENT": {c.Agent}, "SHA256": {c.SHA256}, "CARRIED": {CarriedArgument},
		"OVERLAY": {c.Overlay}, "OVERLAYFILE": {OverlayFile}, "CA": {c.CA}, "CAFILE": {OverlayCA},
	})
}

// AutoinstallNothing is the configuration for a host on which nothing may be
// installed, for the reason why.
func AutoinstallNothing(name, url, why string) string {
	return autoinstall(name, url, "stop", map[string][]string{"WHY": {why}})
}

// autoinstall joins what all configurations have and the part called name. Each
// @NAME@ becomes the words that values has for it, each quoted.
func autoinstall(host, url, name string, values map[string][]string) string {
	pairs := []string{"@URL@", Quote(url), "@HOST@", printableName(host)}
	for key, words := range values {
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = Quote(w)
		}
		pairs = append(pairs, "@"+key+"@", strings.Join(quoted, " "))
	}
	return strings.NewReplacer(pairs...).Replace(script("autoinstall-begin.sh") + script("autoinstall-"+name+".sh"))
}

// printableName is for a comment, which no quoting protects: what is no name of
// a host becomes one that is.
func printableName(name string) string {
	if ValidHostname(name) != nil {
		return "a host"
	}
	return name
}
