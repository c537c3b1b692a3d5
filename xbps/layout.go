package xbps

import "strings"

// Folders are where Void keeps its repositories for an architecture, below the
// root of a mirror: the main one, and the nonfree.
func Folders(arch string) []string {
	base, musl := strings.CutSuffix(arch, "-musl")
	main := "current"
	switch {
	case base != "x86_64":
		main += "/" + base // with the indexes of both C libraries
	case musl:
		main += "/musl"
	}
	return []string{main, main + "/nonfree"}
}
