package xbps

import (
	"embed"
	"fmt"
	"path"
)

//go:embed keys/*.plist
var voidKeys embed.FS

// VoidKeys returns Void Linux's own keys: whoever names no others trusts these.
func VoidKeys() Keys {
	keys := Keys{}
	entries, err := voidKeys.ReadDir("keys")
	if err != nil {
		panic(err) // of this program's own files
	}
	for _, e := range entries {
		b, err := voidKeys.ReadFile(path.Join("keys", e.Name()))
		if err != nil {
			panic(err)
		}
		k, err := ParseKey(b)
		if err != nil {
			panic(fmt.Errorf("%s: %w", e.Name(), err))
		}
		keys[k.Fingerprint()] = k
	}
	return keys
}
