package xbps_test

import (
	"slices"
	"testing"

	"provision.internal/xbps"
)

func TestFolders(t *testing.T) {
	for arch, want := range map[string]string{
		"x86_64": "current", "x86_64-musl": "current/musl", "aarch64": "current/aarch64", "aarch64-musl": "current/aarch64",
	} {
		if got := xbps.Folders(arch); !slices.Equal(got, []string{want, want + "/nonfree"}) {
			t.Errorf("Folders(%s) = %q, want %s and its nonfree", arch, got, want)
		}
	}
}
